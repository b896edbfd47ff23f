// Homing: lets a visitor of the shop's page agree to web push. In the page:
//   <button id="push" hidden>Tell me about offers</button>
//   <script src="https://go.example.com/push/subscribe.js" data-token="TOKEN" data-button="#push" data-worker="/homing-worker.js"></script>
// or call homingPush.subscribe() in a click handler of your own. The token says who the visitor is: your backend gets it from the API.
(() => {
  "use strict";
  const script = document.currentScript;
  const settings = script ? script.dataset : {};
  const home = script ? script.src.replace(/\/push\/subscribe\.js.*$/, "") : "";
  const worker = settings.worker || "/push/worker.js";
  const scope = settings.scope || "/";
  const supported = "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;
  const SEEN = "homing-push-seen";
  const DAY = 86400000;

  function bytes(text) {
    const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
    return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
  }

  function same(buffer, wanted) {
    if (!buffer) return false;
    const found = new Uint8Array(buffer);
    return found.length === wanted.length && found.every((octet, index) => octet === wanted[index]);
  }

  async function call(method, path, body) {
    const answer = await fetch(home + path, {
      method, credentials: "omit",
      ...(body ? { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) } : {}),
    });
    if (!answer.ok) throw new Error(`homing: ${method} ${path} was answered with ${answer.status}`);
    return answer.status === 204 ? null : answer.json();
  }

  async function registration() {
    const found = await navigator.serviceWorker.register(worker, { scope });
    const coming = found.active ? null : found.waiting || found.installing;
    if (coming && coming.state !== "activated") {
      await new Promise((done, failed) => coming.addEventListener("statechange", () => {
        if (coming.state === "activated") done();
        if (coming.state === "redundant") failed(new Error("homing: the worker could not be installed"));
      }));
    }
    return found;
  }

  async function current() {
    const known = supported ? await navigator.serviceWorker.getRegistration(scope) : null;
    return known ? known.pushManager.getSubscription() : null;
  }

  // again: nobody was asked just now, so it is no new consent
  async function tell(subscription, again) {
    const body = { token: settings.token, subscription: subscription.toJSON(), source: location.origin + location.pathname };
    if (settings.text) body.text = settings.text;
    if (again) body.again = true;
    const answer = await call("POST", "/push/subscriptions", body);
    try { localStorage.setItem(SEEN, String(Date.now())); } catch (error) { /* no storage: told again at the next page */ }
    return answer;
  }

  // "unsupported" | "denied" | "on" | "off"
  async function state() {
    if (!supported) return "unsupported";
    if (Notification.permission === "denied") return "denied";
    return Notification.permission === "granted" && (await current()) ? "on" : "off";
  }

  // Call it from a click: browsers ask nobody who did not ask for it. Gives the new state.
  async function subscribe() {
    if (!supported) return "unsupported";
    if ((await Notification.requestPermission()) !== "granted") return Notification.permission === "denied" ? "denied" : "off";
    const [ready, answer] = await Promise.all([registration(), call("GET", "/push/key")]);
    const key = bytes(answer.key);
    let found = await ready.pushManager.getSubscription();
    if (found && !same(found.options.applicationServerKey, key)) {
      await found.unsubscribe();
      found = null;
    }
    found = found || (await ready.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key }));
    await tell(found, false);
    return "on";
  }

  async function unsubscribe() {
    const found = await current();
    if (found) {
      await call("DELETE", "/push/subscriptions", { endpoint: found.endpoint });
      await found.unsubscribe();
    }
    return "off";
  }

  async function remind() {
    const found = settings.token ? await current() : null;
    let seen = 0;
    try { seen = Number(localStorage.getItem(SEEN)); } catch (error) { seen = 0; }
    if (found && Notification.permission === "granted" && !(Date.now() - seen < DAY)) {
      const answer = await tell(found, true);
      if (answer.withdrawn) await found.unsubscribe(); // said no by another way: a link in a message, a complaint, the shop
    }
  }

  async function dress(button) {
    const show = (now) => {
      button.hidden = now === "unsupported" || now === "denied";
      button.setAttribute("aria-pressed", String(now === "on"));
      document.dispatchEvent(new CustomEvent("homing-push", { detail: now }));
    };
    button.addEventListener("click", async () => {
      button.disabled = true;
      try { show(await (button.getAttribute("aria-pressed") === "true" ? unsubscribe() : subscribe())); }
      finally { button.disabled = false; }
    });
    show(await state());
  }

  window.homingPush = { supported, state, subscribe, unsubscribe };
  const begin = () => {
    const button = settings.button ? document.querySelector(settings.button) : null;
    if (button) dress(button);
    if (supported) remind().catch(() => undefined);
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
