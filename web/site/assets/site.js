// What the theme leaves undone for keyboards and screen readers.
const search = document.querySelector(".md-search");
search?.setAttribute("aria-label", search.querySelector("input").getAttribute("aria-label"));

// What is wider than its place can be scrolled by keys only if it can have the focus.
const WIDE = ".md-typeset__scrollwrap, .md-content pre > code, .output, math[display=block], p:has(> img)";

function mend() {
  for (const part of document.querySelectorAll(WIDE)) {
    if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
    else part.removeAttribute("tabindex");
  }
  // The buttons of a piece of code are no place to navigate to.
  for (const buttons of document.querySelectorAll(".md-code__nav")) buttons.setAttribute("role", "none");
}

let asked = 0;
function mendSoon() {
  cancelAnimationFrame(asked);
  asked = requestAnimationFrame(mend);
}

new MutationObserver(mendSoon).observe(document.body, { childList: true, subtree: true });
addEventListener("resize", mendSoon);
mendSoon();
