// Launch forms, made comfortable: the session opens in a window that says at once what it is waiting for, and the page
// that was clicked tells what became of the click. Without this script the same forms post into a new tab.
"use strict";

(() => {
  const region = document.getElementById("launch-status");
  if (!region) {
    return;
  }
  const READY_MS = 2000; // how long the new window may take to load before the form is sent into it anyway
  const POLLS_MS = [600, 700, 900, 1200, 1500, 2000, 2500, 3000, 3000]; // 15 s together, longer than any attempt
  const NO_ID = "00000000-0000-0000-0000-000000000000"; // stands in the address for the id of a launch
  const GUARD_MS = 1500; // a second click within this time is a slip

  let blocked = false;

  const show = (name, button) => {
    const template = document.querySelector(`template[data-launch-text="${name}"]`);
    region.replaceChildren(template.content.cloneNode(true));
    button?.scrollIntoView({ block: "nearest" }); // the words must not cover what was pressed
  };

  const uuid = () => {
    if (window.crypto.randomUUID) {
      return window.crypto.randomUUID();
    }
    // Outside secure contexts only this is there.
    const bytes = window.crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  };

  const pause = (milliseconds) => new Promise((resolve) => window.setTimeout(resolve, milliseconds));

  // Resolves when the opening page in the new window has said that it is there.
  const ready = (opened) =>
    new Promise((resolve) => {
      const listen = (event) => {
        if (event.source === opened && event.origin === window.location.origin) {
          finish();
        }
      };
      const finish = () => {
        window.removeEventListener("message", listen);
        resolve();
      };
      window.addEventListener("message", listen);
      window.setTimeout(finish, READY_MS);
    });

  // Ends when there is an outcome, when the person is signed out, or after the last poll; never goes on for ever.
  const follow = async (url, isCurrent) => {
    for (const milliseconds of POLLS_MS) {
      await pause(milliseconds);
      if (blocked || !isCurrent()) {
        return;
      }
      let answer;
      try {
        answer = await fetch(url, { credentials: "same-origin", cache: "no-store", redirect: "manual" });
      } catch {
        continue; // the network blinked; the next poll asks again
      }
      if (answer.status === 204) {
        continue;
      }
      if (!answer.ok) {
        break;
      }
      const html = await answer.text();
      if (!blocked && isCurrent()) {
        const parsed = new DOMParser().parseFromString(html, "text/html");
        region.replaceChildren(...parsed.body.children);
      }
      return;
    }
    if (!blocked && isCurrent()) {
      show("unknown");
    }
  };

  // In a form of its own, so that the one that was pressed can be pressed again at once, for another window.
  const send = (action, fields, target) => {
    const form = document.createElement("form");
    Object.assign(form, { method: "post", action, target, hidden: true });
    for (const [name, value] of fields) {
      form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
    }
    document.body.append(form);
    form.submit();
    form.remove();
  };

  const launch = async (form, button) => {
    if (!window.navigator.onLine) {
      show("offline", button); // a window would hold the browser's own error page, and nobody would know what was asked
      return;
    }
    const once = uuid();
    const name = `sallyport-${once}`;
    const statusUrl = region.dataset.statusUrl.replace(NO_ID, once);
    const fields = new FormData(form, button);
    fields.set("once", once);
    // Not noopener: the form needs a window with a name. The bastion's page loses its handle on ours by COOP.
    const opened = window.open(region.dataset.openingUrl, name);
    if (!opened) {
      show("blocked", button);
      return;
    }
    blocked = false;
    region.dataset.current = once;
    show("asking", button);
    button.classList.add("is-busy");
    button.dispatchEvent(new CustomEvent("launch:asked", { bubbles: true }));
    const guard = pause(GUARD_MS);
    await ready(opened);
    send(form.action, fields, name);
    const following = follow(statusUrl, () => region.dataset.current === once);
    await guard;
    button.classList.remove("is-busy");
    await following;
  };

  const reset = () => {
    region.replaceChildren();
    delete region.dataset.current;
    for (const button of document.querySelectorAll("button.is-busy")) {
      button.classList.remove("is-busy");
    }
  };

  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form[data-launch]")) {
      return;
    }
    event.preventDefault();
    if (event.submitter && !event.submitter.classList.contains("is-busy")) {
      launch(event.target, event.submitter);
    }
  });

  // An address was added to the bastion after this page was loaded, and this page's policy does not know it.
  document.addEventListener("securitypolicyviolation", (event) => {
    if (event.effectiveDirective === "form-action") {
      blocked = true;
      show("address");
    }
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-dismiss]")) {
      region.replaceChildren();
    } else if (event.target.closest("[data-reload]")) {
      window.location.reload();
    }
  });

  // Back from the browser's cache: nothing of the old click is still true.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) {
      reset();
    }
  });
})();
