// A launch that waits for the bastion: submits the form by itself, but only while the last attempt is fresh. A tab that
// is found again later shows the button and does nothing. Offline nothing is sent: the browser would show its own error
// instead of this page.
"use strict";

(() => {
  const form = document.querySelector("form[data-waiting]");
  if (!form) {
    return;
  }
  const part = (name) => form.querySelector(`[data-waiting-${name}]`);
  const progress = part("progress");
  const left = part("left");
  const manual = part("manual");
  const offline = part("offline");
  const stop = part("stop");
  const loadedAt = Date.now();
  const waitMs = Number(form.dataset.seconds) * 1000;
  const automaticMs = Number(form.dataset.automaticSeconds) * 1000;
  let timer = 0;
  let isSent = false;

  const end = (isManual) => {
    window.clearInterval(timer);
    progress.hidden = true;
    stop.hidden = true;
    manual.hidden = !isManual;
  };

  const tick = () => {
    const passed = Date.now() - loadedAt;
    offline.hidden = navigator.onLine;
    left.textContent = String(Math.max(0, Math.ceil((waitMs - passed) / 1000)));
    if (passed > automaticMs) {
      end(true);
    } else if (passed >= waitMs && navigator.onLine) {
      form.requestSubmit();
    }
  };

  form.addEventListener("submit", (event) => {
    if (isSent || !navigator.onLine) {
      event.preventDefault();
      offline.hidden = navigator.onLine;
      return;
    }
    isSent = true;
    end(false);
    form.classList.add("is-busy");
  });
  window.addEventListener("online", () => {
    offline.hidden = true;
  });
  // Back from the browser's cache: the old times are over, so somebody has to press.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) {
      isSent = false;
      form.classList.remove("is-busy");
      end(true);
    }
  });

  if (waitMs > automaticMs) {
    return;
  }
  stop.addEventListener("click", () => {
    end(true);
    form.querySelector("button[type=submit]").focus();
  });
  progress.hidden = false;
  stop.hidden = false;
  manual.hidden = true;
  timer = window.setInterval(tick, 250);
})();
