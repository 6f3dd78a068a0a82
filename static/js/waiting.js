// A launch that waits for the bastion: submits the form by itself, but only while the last attempt is fresh. A tab that
// is found again later shows the button and does nothing.
"use strict";

(() => {
  const form = document.querySelector("form[data-waiting]");
  if (!form) {
    return;
  }
  const progress = form.querySelector("[data-waiting-progress]");
  const bar = progress.querySelector("progress");
  const stop = form.querySelector("[data-waiting-stop]");
  const loadedAt = Date.now();
  const waitMs = Number(form.dataset.seconds) * 1000;
  const automaticMs = Number(form.dataset.automaticSeconds) * 1000;
  let timer = 0;

  const end = () => {
    window.clearInterval(timer);
    progress.hidden = true;
    stop.hidden = true;
  };

  const tick = () => {
    const passed = Date.now() - loadedAt;
    bar.value = Math.min(passed / waitMs, 1);
    if (passed > automaticMs) {
      end();
    } else if (passed >= waitMs) {
      end();
      form.requestSubmit();
    }
  };

  let isSent = false;
  form.addEventListener("submit", (event) => {
    if (isSent) {
      event.preventDefault();
      return;
    }
    isSent = true;
    end();
    form.classList.add("is-busy");
  });
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) {
      isSent = false;
      form.classList.remove("is-busy");
    }
  });

  if (waitMs > automaticMs) {
    return;
  }
  stop.addEventListener("click", end);
  progress.hidden = false;
  stop.hidden = false;
  timer = window.setInterval(tick, 250);
})();
