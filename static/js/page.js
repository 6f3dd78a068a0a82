// Every page: the user menu closes by Escape or a click elsewhere, "/" goes to the search box.
"use strict";

(() => {
  const menu = document.querySelector("details.menu");

  document.addEventListener("click", (event) => {
    if (menu && menu.open && !menu.contains(event.target)) {
      menu.open = false;
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && menu && menu.open) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
    const search = document.getElementById("search");
    const isTyping = event.target.closest("input, select, textarea, [contenteditable]");
    if (event.key === "/" && event.target === search && search.value === "") {
      event.preventDefault(); // habit: it has the focus already, and no address begins so
    }
    if (event.key === "/" && search && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  });
})();
