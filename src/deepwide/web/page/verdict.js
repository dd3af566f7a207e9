// The second model beside the first: who is ahead on what, and where the difference is none.

import { $, el, table } from "./dom.js";
import { t } from "./words.js";

export function drawVerdict(answer, error) {
  $("comparison").hidden = !answer && !error;
  if (!answer) {
    $("verdict").replaceChildren(el("p", { class: "quiet", lang: "en" }, error ?? ""));
    return;
  }
  const letter = Object.fromEntries(answer.models.map((shape, at) => [shape.model, "AB"[at]]));
  const rows = answer.verdict.map((v) => [v.criterion, v.winner ? letter[v.winner] : "=", v.text]);
  $("verdict").replaceChildren(
    el(
      "p",
      {},
      answer.models.map((shape, at) =>
        el("span", {}, el("span", { class: "letter" }, "AB"[at]), ` ${shape.model}  `),
      ),
    ),
    el(
      "div",
      { class: "scroll", lang: "en", tabindex: 0, role: "region", "aria-labelledby": "beside" },
      table(["", "ahead", "verdict"], rows, { caption: t("beside"), words: [2] }),
    ),
  );
}
