// Elements made in one line: el("p", {class: "quiet"}, "text", child), and the same for SVG.

const SVG = "http://www.w3.org/2000/svg";
export const $ = (id) => document.getElementById(id);
export const el = (tag, attributes, ...children) => filled(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) => filled(document.createElementNS(SVG, tag), attributes, children);

function filled(element, attributes = {}, children = []) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === false || value == null) continue;
    if (name === "on")
      Object.entries(value).forEach(([event, listener]) => element.addEventListener(event, listener));
    else if (name === "style") Object.entries(value).forEach(([rule, to]) => element.style.setProperty(rule, to));
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return element;
}

export function table(heads, rows, { marked = -1, caption, words = [] } = {}) {
  return el(
    "table",
    {},
    caption && el("caption", { class: "hidden" }, caption),
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        heads.map((head, at) => el("th", { scope: "col", class: (!at || words.includes(at)) && "left" }, head)),
      ),
    ),
    el(
      "tbody",
      {},
      rows.map((cells, at) =>
        el(
          "tr",
          { class: at === marked && "marked" },
          cells.map((cell, first) =>
            first
              ? el("td", { class: words.includes(first) && "left" }, cell)
              : el("th", { scope: "row", class: "left" }, cell),
          ),
        ),
      ),
    ),
  );
}
