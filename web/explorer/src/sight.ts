/** What a link or a stop of the tour asks for is brought into sight. */

/** Sections that a link may open the page at, by the first parts of the ids of their titles. */
export const SECTIONS = ["story", "input", "cell", "prediction", "change", "ledger", "maps", "similar", "second", "comparison", "reach", "train"];

/** Put an element at the top of the window, below what sticks there; a frame around the page stays where it is. */
export function bringUp(element: Element | null): void {
  if (element) scrollTo(0, element.getBoundingClientRect().top + scrollY - Math.max(8, parseFloat(getComputedStyle(element).scrollMarginTop)));
}

/** Let what is brought up stand below what sticks at the top of the window. */
export function makeRoom(): void {
  const { offsetHeight } = document.querySelector<HTMLElement>(".transport")!;
  document.documentElement.style.setProperty("--stuck", `${offsetHeight + 8}px`);
}

/** What a link asks for; null where that is the page as a whole. */
export function soughtBy(hash: string): Element | null {
  const asked = new URLSearchParams(hash.replace(/^#/, ""));
  if (asked.has("at")) return document.getElementById(`${asked.get("at")}-title`)?.closest("section") ?? null;
  const id = ["story", "tour", "box"].find((name) => asked.has(name));
  const element = id ? document.getElementById(id) : null;
  return element?.hidden ? null : element;
}
