// Every page: the user menu closes by Escape or a click elsewhere, "/" goes to the search box.
"use strict";

(() => {
  // Only the browser knows where somebody is; from the next page on times are in their zone.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.split("; ").includes(`tz=${zone}`)) {
    const secure = window.location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `tz=${zone}; path=/; max-age=31536000; SameSite=Lax${secure}`;
  }

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
