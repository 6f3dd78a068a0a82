// What somebody pasted survives a sign-in that ended meanwhile: it waits in this tab until a list was made of it.
"use strict";

(() => {
  const box = document.getElementById("pasted");
  if (!box) {
    return;
  }
  const KEY = "sallyport-pasted";
  const kept = JSON.parse(window.sessionStorage.getItem(KEY));
  window.sessionStorage.removeItem(KEY);
  // Another list, or another person: it was for those who sent it.
  if (kept && kept.list === box.dataset.list) {
    box.value = kept.text;
    box.closest("details").open = true;
    box.focus();
    document.querySelector("[data-draft]").hidden = box.hasAttribute("aria-invalid");
  }
  box.form.addEventListener("submit", (event) => {
    if (event.submitter?.name !== "clear") {
      window.sessionStorage.setItem(KEY, JSON.stringify({ list: box.dataset.list, text: box.value }));
    }
  });
})();
