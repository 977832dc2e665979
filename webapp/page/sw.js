// The page offline: its files are cached, and requests go to the server if it answers soon.
// Images that another app shares are cached until the page has opened them.

const PAGE = "page";
const NETWORK_SECONDS = 2; // a network may hang for a minute before it fails
const SLOW_SECONDS = 10; // after such a wait the cache answers at once: a page has files that load others
let slowUntil = 0;
const FILES = [
  "./", "card.html", "style.css", "icon.svg", "icon-192.png", "manifest.webmanifest",
  ...["api", "worker_client", "box_editor", "bulk", "card", "catalogue", "cutting", "decision", "device", "device_worker", "dom", "finder",
    "finder_worker", "first_screen", "history", "incoming", "main", "image_card", "image_size", "images", "kept_reports", "layout", "refusals", "report_dialog", "scaling", "server", "similar_names", "token_field", "token_form", "webcam", "words"].map((name) => `js/${name}.js`),
];
// Cached once requested, and fetched again only if they have changed: they are large.
const LARGE_FILES = /\/vendor\//;

// Of the API only data that is shown and seldom changes.
const CACHED_API = /\/api\/v1\/(portraits|card)$/;

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(PAGE).then((cache) => cache.addAll(FILES)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (url.origin !== self.location.origin) return;
  if (request.method === "POST" && url.pathname.endsWith("/share")) event.respondWith(storeShared(request));
  else if (request.method === "GET" && (!url.pathname.includes("/api/") || CACHED_API.test(url.pathname))) event.respondWith(respond(request, url));
});

/** Respond from the network; from the cache if offline or slow, or if the file is unchanged. */
async function respond(request, url) {
  const cache = await caches.open(PAGE);
  const cached = await cache.match(request, { ignoreSearch: request.mode === "navigate" });
  if (cached && LARGE_FILES.test(url.pathname) && await isCurrent(cached, url)) return cached;
  const answer = fetchAndCache(request, url, cache);
  return cached ? orAfterTimeout(answer, cached) : answer;
}

async function fetchAndCache(request, url, cache) {
  const answer = await fetch(request);
  // A token in an address is a wrong one, and not to be kept.
  if (answer.ok && !answer.redirected && !url.searchParams.has("token")) await cache.put(request, answer.clone());
  return answer;
}

/** The value of a promise; `otherwise` if it fails, or takes too long. */
function orAfterTimeout(promise, otherwise) {
  const seconds = Date.now() < slowUntil ? 0 : NETWORK_SECONDS;
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      slowUntil = Date.now() + 1000 * SLOW_SECONDS;
      resolve(otherwise);
    }, 1000 * seconds);
    promise.then((value) => {
      slowUntil = 0;
      return value;
    }, () => otherwise).then((value) => {
      clearTimeout(timer);
      resolve(value);
    });
  });
}

/** Whether the server still has the cached version; true if it does not answer. */
async function isCurrent(cached, url) {
  const now = await orAfterTimeout(fetch(url, { method: "HEAD" }), null);
  return !now?.ok || ["etag", "last-modified"].every((name) => now.headers.get(name) === cached.headers.get(name));
}

async function storeShared(request) {
  const cache = await caches.open("shared");
  const form = await request.formData();
  const files = form.getAll("images");
  if (!files.length) return Response.redirect("./#address", 303);
  for (const [number, file] of files.entries()) {
    await cache.put(`shared/${number}/${encodeURIComponent(file.name || "image")}`, new Response(file));
  }
  return Response.redirect("./", 303);
}
