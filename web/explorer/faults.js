// What is too wide, cut, or lies on something else in the page: for screens.py.
() => {
  const found = [];
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide > 0) found.push(`the page is ${wide} pixels wider than the window`);
  const seen = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  for (const element of document.querySelectorAll("button, select, label, h1, h2, h3, p, td, th, dt, dd, li")) {
    // What is for screen readers alone has a pixel.
    if (!seen(element) || element.clientWidth < 3 || getComputedStyle(element).overflowX === "visible") continue;
    if (element.scrollWidth > element.clientWidth + 1) found.push(`cut: ${element.textContent.slice(0, 60)}`);
  }
  for (const svg of document.querySelectorAll("svg")) {
    const texts = [...svg.querySelectorAll("text")].filter((text) => text.textContent.trim() && seen(text)).map((text) => [text, text.getBoundingClientRect()]);
    const frame = svg.getBoundingClientRect();
    texts.forEach(([text, box], place) => {
      const { textContent } = text;
      if (box.left < frame.left - 1 || box.right > frame.right + 1) found.push(`outside the drawing: ${textContent}`);
      for (const [other, its] of texts.slice(place + 1)) {
        const across = Math.min(box.right, its.right) - Math.max(box.left, its.left);
        const down = Math.min(box.bottom, its.bottom) - Math.max(box.top, its.top);
        if (across > 3 && down > 0.5 * Math.min(box.height, its.height)) found.push(`on one another: ${textContent} / ${other.textContent}`);
      }
    });
  }
  return [...new Set(found)];
}
