// Homing: shows what is pushed, reports a click, and registers anew when the browser's push service changes the endpoint.
// The worker must come from the shop's own site: serve this file there at /push/worker.js (a proxy), or have one line in a worker of
// yours: importScripts("https://go.example.com/push/worker.js"). Pushes that are not Homing's are left to others.
(() => {
  "use strict";
  const HOME = /\/push\/worker\.js$/.test(self.location.pathname)
    ? self.location.href.replace(/\/push\/worker\.js.*$/, "")
    : "@HOME@";

  function read(data) {
    try {
      const shown = data.json();
      return shown && typeof shown.id === "string" && typeof shown.title === "string" ? shown : null;
    } catch (error) {
      return null;
    }
  }

  function post(path, body) {
    return fetch(HOME + path, {
      method: "POST", credentials: "omit", keepalive: true,
      headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    }).catch(() => undefined);
  }

  self.addEventListener("push", (event) => {
    const shown = event.data ? read(event.data) : null;
    if (!shown) return;
    const actions = Array.isArray(shown.actions) ? shown.actions : [];
    const options = {
      body: shown.body || "",
      tag: shown.tag,
      data: { url: shown.url, token: shown.token, links: Object.fromEntries(actions.map((each) => [each.action, each.url])) },
      actions: actions.map((each) => ({ action: each.action, title: each.title })),
    };
    for (const key of ["icon", "image", "lang"]) if (shown[key]) options[key] = shown[key];
    event.waitUntil(self.registration.showNotification(shown.title, options));
  });

  async function open(link) {
    const url = new URL(link || "/", self.location.origin).href;
    if (!/^https?:/.test(url)) return undefined;
    const pages = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
    const page = pages.find((each) => each.url === url);
    return page ? page.focus() : self.clients.openWindow(url);
  }

  self.addEventListener("notificationclick", (event) => {
    const data = event.notification.data;
    if (!data || !("token" in data && "links" in data)) return;
    event.notification.close();
    const button = event.action || null;
    const dismissed = button !== null && !data.links[button];
    const work = [dismissed ? undefined : open(button === null ? data.url : data.links[button])];
    if (data.token) work.push(post("/push/clicks", button === null ? { token: data.token } : { token: data.token, action: button }));
    event.waitUntil(Promise.all(work));
  });

  self.addEventListener("pushsubscriptionchange", (event) => {
    const renew = async () => {
      const old = event.oldSubscription;
      if (!old) return;
      const fresh = event.newSubscription || (await self.registration.pushManager.subscribe({
        userVisibleOnly: true, applicationServerKey: old.options.applicationServerKey,
      }));
      await post("/push/subscriptions", { old: old.endpoint, subscription: fresh.toJSON() });
    };
    event.waitUntil(renew());
  });
})();
