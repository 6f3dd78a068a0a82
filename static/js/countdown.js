// How long to wait before trying again, counted down. The end is told to screen readers, the seconds are not.
"use strict";

(() => {
  for (const countdown of document.querySelectorAll("[data-countdown]")) {
    const endsAt = Date.now() + Number(countdown.dataset.countdown) * 1000;
    const left = countdown.querySelector("[data-countdown-left]");
    const timer = window.setInterval(() => {
      const seconds = Math.ceil((endsAt - Date.now()) / 1000);
      left.textContent = String(Math.max(seconds, 0));
      if (seconds <= 0) {
        window.clearInterval(timer);
        countdown.querySelector("[data-countdown-running]").hidden = true;
        countdown.querySelector("[data-countdown-over]").hidden = false;
      }
    }, 250);
  }
})();
