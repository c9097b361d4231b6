// What every page has to keep, as a list of breaches in words; given to the browser by test_every_page.py.
() => {
  const found = [];
  const told = (element) => element.outerHTML.replace(/\s+/g, " ").slice(0, 120);
  const isSeen = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });

  const root = document.documentElement;
  if (root.scrollWidth > innerWidth) {
    const wide = [...document.querySelectorAll("body *")].filter((one) => {
      const box = one.getBoundingClientRect();
      return box.width && box.right > innerWidth + 1 && !one.parentElement.closest(".scroll, pre, .pages");
    });
    found.push(`the page is ${root.scrollWidth} wide in a window of ${innerWidth}: ${wide.slice(0, 3).map(told).join(" | ")}`);
  }

  for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea, meter, progress")) {
    const label = field.labels?.length || field.getAttribute("aria-label") || field.getAttribute("aria-labelledby");
    if (!label && isSeen(field) && !field.closest("[aria-hidden=true]")) found.push(`without a label: ${told(field)}`);
  }
  for (const one of document.querySelectorAll("button, a[href]")) {
    const name = one.textContent.trim() || one.getAttribute("aria-label") || one.querySelector("svg title, img[alt]");
    if (!name && isSeen(one)) found.push(`without a name: ${told(one)}`);
  }
  for (const one of document.querySelectorAll("img:not([alt]), svg:not([aria-hidden]):not([role]):not([aria-label])"))
    if (!one.closest("[aria-hidden=true], [role=group][aria-label]")) found.push(`a picture without words: ${told(one)}`);

  const levels = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].filter(isSeen).map((one) => +one.tagName[1]);
  if (levels.filter((level) => level === 1).length !== 1) found.push(`expected one h1: ${levels}`);
  levels.forEach((level, at) => {
    if (level > (levels[at - 1] ?? 0) + 1) found.push(`heading ${at + 1} of the levels ${levels} leaves one out`);
  });

  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  for (const id of new Set(ids.filter((id, at) => ids.indexOf(id) !== at))) found.push(`twice on the page: id ${id}`);
  for (const name of ["aria-describedby", "aria-labelledby", "aria-controls", "for"])
    for (const one of document.querySelectorAll(`[${name}]`))
      for (const id of one.getAttribute(name).split(/\s+/))
        if (id && !document.getElementById(id)) found.push(`${name}=${id} leads nowhere: ${told(one)}`);
  for (const cell of document.querySelectorAll("th:not([scope])"))
    if (!cell.closest(".uplot")) found.push(`th without a scope: ${told(cell)}`);
  if (!document.title.trim()) found.push("without a title");
  if (!root.lang) found.push("without a language");
  for (const one of document.querySelectorAll("[style], [onclick], [onload], [onerror], script:not([src])"))
    if (!one.closest(".uplot")) found.push(`code or style within the page: ${told(one)}`);

  // Contrast, as WCAG 2 counts it: of whatever has text of its own.
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const over = (top, below) => top.slice(0, 3).map((one, at) => (one * top[3] + below[at] * (255 - top[3])) / 255);
  const ground = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) {
      const colour = rgba(getComputedStyle(one).backgroundColor);
      if (colour[3]) layers.push(colour);
      if (colour[3] === 255) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const light = (colour) => {
    const [red, green, blue] = colour.map((one) => (one / 255 <= 0.04045 ? one / 255 / 12.92 : ((one / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const seen = new Set();
  for (const one of document.querySelectorAll("body *")) {
    const isText = [...one.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    if (!isText || !isSeen(one) || one.closest("svg, :disabled, option, select, .uplot, script, noscript, .skip")) continue;
    const style = getComputedStyle(one);
    const below = ground(one);
    const [high, low] = [light(over(rgba(style.color), below)), light(below)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    const isLarge = parseFloat(style.fontSize) >= 24;
    if (ratio < (isLarge ? 3 : 4.5)) {
      const said = `contrast ${ratio.toFixed(2)} of ${style.color} on ${below.map(Math.round)}: ${one.tagName} .${one.className}`;
      if (!seen.has(said)) found.push(`${said}: ${one.textContent.trim().slice(0, 40)}`);
      seen.add(said);
    }
  }
  return found;
}
