// Each number opens its formula with the numbers in it, in a dialog that Escape closes.

import { $, el, table } from "./dom.js";
import { whole } from "./units.js";
import { t } from "./words.js";

// A number to touch: `told` gives what the dialog shows, once it is asked for.
export function number(text, title, told, small = false) {
  const open = () => show(title, told);
  return el(
    "button",
    { type: "button", class: small ? "number small" : "number", "aria-haspopup": "dialog", on: { click: open } },
    text,
  );
}

async function show(title, told) {
  $("formula-title").textContent = `${t("formulaOf")}: ${title}`;
  $("formula-body").replaceChildren(...[await told()].flat());
  $("formula").showModal();
}

export function facts(rows) {
  const known = rows.filter(([, value]) => value != null && value !== "");
  return el(
    "dl",
    {},
    known.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]),
  );
}

// A formula of the server: in symbols, in numbers, its value.
export const formula = (of, spelled) =>
  facts([
    [t("symbols"), of.symbols],
    [t("numbers"), `${of.numbers} = ${whole(of.value)}`],
    [t("value"), spelled],
    [t("aside"), of.aside],
  ]);

// A sum of named parts, as a table whose last row is the sum.
export function sum(parts, spell) {
  const total = parts.reduce((all, [, value]) => all + value, 0);
  const shown = parts.filter(([, value]) => value).map(([name, value]) => [name, spell(value)]);
  return [
    el("p", { class: "quiet" }, t("sumOf")),
    el(
      "div",
      { class: "scroll" },
      table(["", t("value")], [...shown, ["Σ", spell(total)]], { marked: shown.length }),
    ),
  ];
}

// The rows of a part of a model, each by its formula.
export function rows(of) {
  const cells = of.map((row) => [
    row.name,
    row.tied ? `= ${row.tied}` : row.formula || row.shape.join(" × "),
    row.numbers ?? "",
    whole(row.parameters),
  ]);
  const total = of.reduce((all, row) => all + row.parameters, 0);
  return el(
    "div",
    { class: "scroll" },
    table(["", t("symbols"), t("numbers"), t("parameters")], [...cells, ["Σ", "", "", whole(total)]], {
      marked: cells.length,
    }),
  );
}
