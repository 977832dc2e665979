// Reports made without a connection: kept on this device, and sent once the server can be reached.

import { byId } from "./dom.js";
import { sendReport } from "./server.js";
import { words } from "./words.js";

const CACHE = "reports";
const REMOVAL = "removal"; // in the address of a kept report
const MAX_KEPT = 50;
const RETRIED = [0, 401, 408, 429]; // statuses after which a report is sent again later, as after 500 and above
// By address: called once a report of this visit was sent, or is no longer kept.
const settlers = new Map();
let isSending = false;

/** Notice about a report that was kept. */
export const describeKept = () => words("No connection: your report is kept on this device and sent later.");
const openCache = () => ("caches" in self ? caches.open(CACHE) : null);

/**
 * Keep a report's form (`removal`: a removal request); returns false if this browser cannot, or already keeps many.
 * `settle(isSent)` is called when it is not kept any more.
 */
export async function keepReport(form, removal, settle) {
  const cache = await openCache();
  if (!cache || (await cache.keys()).length >= MAX_KEPT) return false;
  const name = encodeURIComponent(form.get("file").name);
  const address = new URL(`reports/${crypto.randomUUID()}/${removal ? REMOVAL : "report"}/${name}`, document.baseURI).href;
  await cache.put(address, new Response(form));
  settlers.set(address, settle);
  await showKept();
  return true;
}

/** Send what is kept, in turn; `notify(text)` is called with the outcome. */
export async function sendKeptReports(notify) {
  const cache = await openCache();
  if (!cache || isSending) return;
  isSending = true;
  let sent = 0;
  try {
    for (const request of await cache.keys()) {
      const kept = await cache.match(request);
      let isSent = true;
      try {
        // The boundary of the form is in the header; that of a blob would be in lower case.
        await sendReport(await kept.blob(), { "content-type": kept.headers.get("content-type") });
        sent += 1;
      } catch (error) {
        if (RETRIED.includes(error.status) || error.status >= 500) break;
        notify(words("A kept report was not accepted: {reason}", { reason: error.message }));
        isSent = false;
      }
      await cache.delete(request);
      settle(request.url, isSent);
    }
    if (sent) notify(words("Kept reports sent: {count}", { count: sent }));
  } finally {
    isSending = false;
    await showKept();
  }
}

function settle(address, isSent) {
  settlers.get(address)?.(isSent);
  settlers.delete(address);
}

/** Say how many reports are kept, in the present language, and of which images. */
export async function showKept() {
  const cache = await openCache();
  const kept = await cache?.keys() ?? [];
  const names = kept.map(({ url }) => {
    const [kind, name] = url.split("/").slice(-2);
    return `${kind === REMOVAL ? `${words("Removal")}: ` : ""}\u2068${decodeURIComponent(name)}\u2069`;
  });
  byId("unsent-count").textContent = `${words("Reports to be sent later: {count}", { count: names.length })} (${names.join(", ")})`;
  byId("unsent-clear").textContent = names.length > 1 ? words("Delete all") : words("Delete");
  byId("unsent").hidden = !names.length;
}

byId("unsent-clear").addEventListener("click", async () => {
  await caches.delete(CACHE);
  for (const address of settlers.keys()) settle(address, false);
  if (byId("said").textContent === describeKept()) byId("said").textContent = "";
  await showKept();
});
