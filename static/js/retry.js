// "Try again" on a launch's page: pressed twice it is sent once, for the second answer would lose the first one's link.
// While Huawei Cloud asked to be left alone the button looks quiet, and still works.
"use strict";

(() => {
  const form = document.querySelector("form[data-retry]");
  if (!form) {
    return;
  }
  let isSent = false;

  form.addEventListener("submit", (event) => {
    if (isSent) {
      event.preventDefault();
      return;
    }
    isSent = true;
    form.classList.add("is-busy");
  });

  window.addEventListener("pageshow", (event) => {
    if (event.persisted) {
      isSent = false;
      form.classList.remove("is-busy");
    }
  });

  const waitSeconds = Number(form.dataset.waitSeconds || 0);
  if (waitSeconds > 0) {
    form.classList.add("is-early");
    window.setTimeout(() => form.classList.remove("is-early"), waitSeconds * 1000);
  }
})();
