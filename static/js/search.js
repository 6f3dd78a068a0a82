// Search while typing is htmx's work. Here: what htmx does not know, a sign-in that ended and an answer that is none.
"use strict";

(() => {
  const reload = (form) => {
    const query = new URLSearchParams(new FormData(form));
    window.location.assign(`${form.getAttribute("action")}?${query}`);
  };

  document.body.addEventListener("htmx:beforeSwap", (event) => {
    const form = event.detail.requestConfig.elt.closest("form");
    // Signed out meanwhile: the answer is the sign-in page. Load the list as a page, which leads there and back.
    if (form && !event.detail.serverResponse.includes("data-results")) {
      event.detail.shouldSwap = false;
      reload(form);
    }
  });

  // No answer at all: the form as a plain form makes the browser say so.
  document.body.addEventListener("htmx:sendError", (event) => {
    const form = event.detail.requestConfig.elt.closest("form");
    if (form) {
      reload(form);
    }
  });
})();
