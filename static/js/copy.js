// Copy buttons: shown only where the browser can copy.
"use strict";

(() => {
  if (!navigator.clipboard) {
    return;
  }
  for (const button of document.querySelectorAll("[data-copy]")) {
    const text = button.querySelector("[data-copy-text]");
    const before = text.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(button.dataset.copy);
      } catch {
        return; // refused by the browser: the reference stands beside the button
      }
      text.textContent = button.dataset.copied;
      window.setTimeout(() => {
        text.textContent = before;
      }, 2000);
    });
  }
})();
