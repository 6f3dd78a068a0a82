// What somebody pasted survives a sign-in that ended meanwhile: it waits in this tab until a list was made of it. What was
// pasted into the search box comes the same way.
"use strict";

(() => {
  const box = document.getElementById("pasted");
  if (!box) {
    return;
  }
  const KEY = "sallyport-pasted";
  const { person, list } = box.dataset;
  const kept = JSON.parse(window.sessionStorage.getItem(KEY));
  window.sessionStorage.removeItem(KEY);

  box.form.addEventListener("submit", (event) => {
    if (event.submitter?.name !== "clear") {
      window.sessionStorage.setItem(KEY, JSON.stringify({ person, list, text: box.value }));
    }
  });

  // Another person: it was for those who sent it. Another list: one was made of it.
  const isNew = kept?.list === undefined;
  if (!kept || kept.person !== person || (!isNew && kept.list !== list)) {
    return;
  }
  box.value = kept.text;
  if (isNew && list === "") {
    box.form.requestSubmit();
    return;
  }
  box.closest("details").open = true;
  box.focus();
  const note = document.querySelector(isNew ? "[data-draft-new]" : "[data-draft]");
  note.hidden = box.hasAttribute("aria-invalid");
})();
