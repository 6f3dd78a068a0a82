// Search while typing is htmx's work. Here: what htmx does not know, the keyboard, an answer to words that have changed
// meanwhile, a sign-in that ended and an answer that is none.
"use strict";

(() => {
  const form = document.getElementById("finder");
  const box = document.getElementById("search");
  if (!form || !box) {
    return;
  }
  const said = document.getElementById("found");
  const results = () => document.getElementById("results");
  const words = (data) => new URLSearchParams(data).toString();
  const wanted = () => words(new FormData(form));
  // What the results on the page answer.
  let answered = wanted();

  const reload = () => window.location.assign(`${form.getAttribute("action")}?${wanted()}`);

  document.body.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.elt !== form && event.detail.requestConfig.elt !== form) {
      return;
    }
    if (!event.detail.serverResponse.includes("data-results")) {
      // Signed out meanwhile: the answer is the sign-in page. Load the list as a page, which leads there and back.
      event.detail.shouldSwap = false;
      reload();
      return;
    }
    const asked = words(event.detail.requestConfig.formData);
    // Either the answer to what is typed now follows, or it is here already, and perhaps has the focus.
    event.detail.shouldSwap = asked === wanted() && asked !== answered;
  });

  document.body.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.requestConfig.elt === form) {
      answered = words(event.detail.requestConfig.formData);
      said.textContent = results().dataset.said;
    }
  });

  // No answer at all: the form as a plain form makes the browser say so.
  document.body.addEventListener("htmx:sendError", (event) => {
    if (event.detail.requestConfig.elt === form) {
      reload();
    }
  });

  // A list from a ticket is no search: the worklist finds each of its lines. It waits in this tab as a draft (draft.js), so
  // that a sign-in in between loses nothing.
  box.addEventListener("paste", (event) => {
    const text = event.clipboardData.getData("text");
    if (text.split(/[\r\n\t,;\uff0c\uff1b\u3001]+/).filter((entry) => entry.trim()).length > 1) {
      event.preventDefault();
      window.sessionStorage.setItem("sallyport-pasted", JSON.stringify({ person: form.dataset.person, text }));
      window.location.assign(form.dataset.worklist);
    }
  });

  // --- the keyboard ----------------------------------------------------------------------------

  const actions = (row) => [...row.querySelectorAll("[data-actions] :is(button, a)")];
  // One column after the other: first the shortcuts, then the list.
  const rows = () => [...results().querySelectorAll("[data-row]")].filter((row) => actions(row).length > 0);

  const isNamed = (row) => {
    const typed = box.value.trim().toLowerCase();
    const named = [...row.querySelectorAll("[data-name], [data-address]")];
    return named.some((text) => text.textContent.toLowerCase() === typed);
  };

  const enter = (event) => {
    const found = rows();
    if (answered !== wanted() || found.length === 0) {
      return; // the form asks
    }
    event.preventDefault();
    // Only what cannot be meant otherwise opens at once: the one host there is, or the one that was named in full.
    const isPlain = box.value.trim() !== "" && (found.length === 1 || (isNamed(found[0]) && !isNamed(found[1])));
    const first = actions(found[0])[0];
    first.focus();
    if (isPlain) {
      first.click();
    }
  };

  const clear = () => {
    box.focus();
    box.select();
    if (box.value) {
      box.value = "";
      box.dispatchEvent(new Event("input", { bubbles: true }));
    }
  };

  const move = (event, from, to) => {
    const target = to[to.indexOf(from) + (event.key === "ArrowDown" || event.key === "ArrowRight" ? 1 : -1)];
    event.preventDefault();
    return target;
  };

  box.addEventListener("keydown", (event) => {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    if (event.key === "ArrowDown" && rows().length > 0) {
      event.preventDefault();
      actions(rows()[0])[0].focus();
    } else if (event.key === "Enter") {
      enter(event);
    } else if (event.key === "Escape") {
      event.preventDefault();
      clear();
    }
  });

  document.addEventListener("keydown", (event) => {
    const row = event.target.closest("#results [data-row]");
    if (!row || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) {
      return;
    }
    if (event.key === "Escape") {
      event.preventDefault();
      box.focus();
      box.select();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const next = move(event, row, rows());
      if (next) {
        actions(next)[0].focus();
      } else if (event.key === "ArrowUp") {
        box.focus();
      }
    } else if ((event.key === "ArrowLeft" || event.key === "ArrowRight") && event.target.closest("[data-actions]")) {
      move(event, event.target, actions(row))?.focus();
    }
  });
})();
