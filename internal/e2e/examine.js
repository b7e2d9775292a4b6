// Returns what is wrong with the page as it is shown now: for whoever reads it
// on a narrow screen, in the dark, by ear, or with the keyboard alone.
() => {
  const wrong = [];
  const all = (selector) => [...document.querySelectorAll(selector)];
  const describe = (e) => e.outerHTML.slice(0, 120);
  const shown = (e) => e.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });

  const root = document.scrollingElement;
  if (root.scrollWidth > window.innerWidth) {
    const wide = all("body *").find((e) => e.getBoundingClientRect().right > window.innerWidth);
    wrong.push(`is ${root.scrollWidth} pixels wide, because of ${wide && describe(wide)}`);
  }

  if (!document.documentElement.lang) wrong.push("has no language");
  if (!document.title.trim()) wrong.push("has no title");
  if (!document.querySelector('meta[name="viewport"]')) wrong.push("has no viewport");
  if (all("h1").length !== 1) wrong.push(`has ${all("h1").length} headings of the first level`);
  if (all("main").length !== 1) wrong.push(`has ${all("main").length} main elements`);
  let level = 0;
  for (const heading of all("h1, h2, h3, h4, h5, h6")) {
    if (Number(heading.tagName[1]) > level + 1) wrong.push(`skips a level before ${describe(heading)}`);
    level = Number(heading.tagName[1]);
  }

  for (const input of all("input:not([type=hidden]), select, textarea")) {
    if (shown(input) && ![...input.labels].some(shown)) wrong.push(`has an input without a label: ${describe(input)}`);
  }
  for (const image of all("img")) {
    if (!image.hasAttribute("alt")) wrong.push(`has an image without alternative: ${describe(image)}`);
    if (!image.complete || image.naturalWidth === 0) wrong.push(`has an image that is not there: ${describe(image)}`);
  }
  for (const control of all("a, button, summary")) {
    if (!(control.getAttribute("aria-label") || control.innerText || control.textContent).trim()) wrong.push(`has a control without a name: ${describe(control)}`);
  }
  const ids = all("[id]").map((e) => e.id);
  for (const id of new Set(ids)) {
    if (ids.filter((other) => other === id).length > 1) wrong.push(`has ${id} more than once`);
  }
  for (const attribute of ["for", "aria-labelledby", "aria-describedby", "aria-controls"]) {
    for (const e of all(`[${attribute}]`)) {
      for (const id of e.getAttribute(attribute).split(/\s+/)) {
        if (!document.getElementById(id)) wrong.push(`names ${id}, which is not there: ${describe(e)}`);
      }
    }
  }
  // WCAG 2.2, 2.5.8: what is pressed has 24 pixels each way, but for links
  // within a sentence.
  for (const control of all("button, input:not([type=hidden]), summary, nav a")) {
    const { width, height } = control.getBoundingClientRect();
    if (shown(control) && (width < 24 || height < 24)) wrong.push(`has a control that is too small to press: ${describe(control)}`);
  }

  // WCAG 2.2, 1.4.3: the contrast of text.
  const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = channels(colour).map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (channels(colour).length < 4 || channels(colour)[3] > 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  for (const e of all("body, body *")) {
    const texts = [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim());
    if (!shown(e) || (!texts && e.tagName !== "INPUT")) continue;
    const style = getComputedStyle(e);
    const [low, high] = [luminance(style.color), luminance(ground(e))].sort((x, y) => x - y);
    const size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    if ((high + 0.05) / (low + 0.05) < least) wrong.push(`has text of contrast ${((high + 0.05) / (low + 0.05)).toFixed(2)}: ${describe(e)}`);
  }
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  if (dark !== luminance(ground(document.body)) < 0.2) wrong.push(`is ${dark ? "bright in the dark" : "dark by day"}: ${ground(document.body)}`);
  return wrong;
}
