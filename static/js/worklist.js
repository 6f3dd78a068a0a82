// "Open next" on a worklist: each press opens one host as its usual account, in a window of its own. A row counts as
// done when its window was there, so nothing is skipped that the browser blocked.
"use strict";

(() => {
  const button = document.querySelector("[data-open-next]");
  if (!button) {
    return;
  }
  const said = document.getElementById("work-said");
  const open = () => [...document.querySelectorAll("[data-work]:not([data-done])")];

  const mark = () => {
    for (const row of document.querySelectorAll("[data-work][aria-current]")) {
      row.removeAttribute("aria-current");
    }
    const [next] = open();
    next?.setAttribute("aria-current", "step");
    button.hidden = false;
    button.disabled = !next;
    if (!next) {
      said.textContent = said.dataset.done;
    }
  };

  const openNext = () => {
    const [next] = open();
    const action = next?.querySelector("[data-actions] :is(button, a)");
    if (!action || next.querySelector(".is-busy")) {
      return;
    }
    next.scrollIntoView({ block: "nearest" });
    if (action.matches("button")) {
      action.click();
      return;
    }
    // A link: it asks for a reason or ticket first. The next press goes past it.
    action.focus();
    said.textContent = said.dataset.needs;
    next.dataset.done = "";
    mark();
  };

  document.addEventListener("launch:asked", (event) => {
    const row = event.target.closest("[data-work]");
    if (row) {
      row.dataset.done = "";
      row.querySelector("[data-asked]").hidden = false;
      mark();
    }
  });
  button.addEventListener("click", openNext);
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest("input, select, textarea, [contenteditable]");
    if (event.key === "n" && !event.repeat && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      openNext();
    }
  });
  mark();
})();
