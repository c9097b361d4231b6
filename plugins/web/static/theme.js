// Before anything is drawn, so that a dark page does not flash. What was chosen stays in this browser.
"use strict";
(() => {
  document.documentElement.dataset.scripts = ""; // what works by scripts only is shown
  const kept = localStorage.getItem("theme");
  if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
})();
