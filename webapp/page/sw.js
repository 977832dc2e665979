// The page without a network: what it is made of is kept, and answers come from the server where it
// can be reached. Pictures that are shared with the page are kept until it has opened them.

const PAGE = "page";
const PARTS = [
  "./", "card.html", "style.css", "icon.svg", "manifest.webmanifest",
  ...["asked_worker", "box_editor", "bulk", "card", "cutting", "decision", "device", "device_worker", "dom", "finder",
    "finder_worker", "first_screen", "history", "incoming", "main", "picture_card", "pictures", "refusals", "report_dialog", "server", "webcam", "words"].map((name) => `js/${name}.js`),
];
// Kept once they were asked for, and fetched again only where they have changed: they are large.
const KEPT = /\/vendor\//;

// Of the API only what is shown and seldom changes. The page for programs is kept once it was opened.
const SHOWN = /\/api\/v1\/(portraits|card)$/;

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(PAGE).then((cache) => cache.addAll(PARTS)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (url.origin !== self.location.origin) return;
  if (request.method === "POST" && url.pathname.endsWith("/share")) event.respondWith(shared(request));
  else if (request.method === "GET" && (!url.pathname.includes("/api/") || SHOWN.test(url.pathname))) event.respondWith(page(request, url));
});

/** What the network says now; what was kept where there is none, or where it is the same still. */
async function page(request, url) {
  const cache = await caches.open(PAGE);
  const kept = await cache.match(request, { ignoreSearch: request.mode === "navigate" });
  if (kept && KEPT.test(url.pathname) && await isCurrent(kept, url)) return kept;
  try {
    const answer = await fetch(request);
    if (answer.ok && !answer.redirected) await cache.put(request, answer.clone());
    return answer;
  } catch (error) {
    if (kept) return kept;
    throw error;
  }
}

/** Whether the server has what was kept, and not another version of it, as far as it can be asked. */
async function isCurrent(kept, url) {
  try {
    const now = await fetch(url, { method: "HEAD" });
    return !now.ok || ["etag", "last-modified"].every((name) => now.headers.get(name) === kept.headers.get(name));
  } catch {
    return true;
  }
}

async function shared(request) {
  const cache = await caches.open("shared");
  const form = await request.formData();
  const files = form.getAll("pictures");
  if (!files.length) return Response.redirect("./#address", 303);
  for (const [number, file] of files.entries()) {
    await cache.put(`shared/${number}/${encodeURIComponent(file.name || "picture")}`, new Response(file));
  }
  return Response.redirect("./", 303);
}
