// The new window, until the answer arrives. Loading it by itself does nothing: it only tells the page that opened it
// that it is there, and admits when it takes too long.
"use strict";

(() => {
  const LATE_MS = 20000;

  if (window.opener) {
    window.opener.postMessage("sallyport:opening", window.location.origin);
  }
  const sayLate = () => {
    document.querySelector("[data-opening-soon]").hidden = true;
    document.querySelector("[data-opening-late]").hidden = false;
  };
  window.setTimeout(sayLate, window.opener ? LATE_MS : 3000);
})();
