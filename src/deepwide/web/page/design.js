// The search for a shape: a few limits, the front that it finds, and every point of it one click from being loaded.

import { Refused, ask } from "./api.js";
import { $, el, svg, table } from "./dom.js";
import { sized } from "./depth.js";
import { linear, logarithmic } from "./scales.js";
import { change, state } from "./state.js";
import * as units from "./units.js";
import { t } from "./words.js";

const HEIGHT = 300,
  LEFT = 58,
  RIGHT = 18,
  TOP = 20,
  BOTTOM = 46;
let last = null;

export function buildDesign() {
  $("design").addEventListener("submit", (event) => {
    event.preventDefault();
    look();
  });
  for (const [id, name] of [
    ["budget", "budget"],
    ["token-ms", "ms"],
    ["room", "gb"],
  ])
    $(id).addEventListener("change", () => change({ [name]: $(id).value.trim() }));
}

export function showDesign(parameters) {
  for (const [id, name] of [
    ["budget", "budget"],
    ["token-ms", "ms"],
    ["room", "gb"],
  ])
    if (document.activeElement !== $(id)) $(id).value = state[name];
  if (parameters) $("budget").placeholder = units.count(parameters);
  if (last) drawFound(last);
}

async function look() {
  const wanted = {
    on: state.on,
    parameters: state.budget || $("budget").placeholder,
    tokens: state.tokens,
    context: state.context,
    decode_s: state.ms && Number(state.ms) / 1000,
    memory_bytes: state.gb && Math.round(Number(state.gb) * 1e9),
  };
  $("found").replaceChildren(el("p", { class: "quiet" }, t("searching")));
  try {
    last = await ask("design", wanted);
    drawFound(last);
  } catch (error) {
    if (error.name === "AbortError") return;
    $("found").replaceChildren(
      el("p", { class: "error", lang: "en" }, error instanceof Refused ? error.message : String(error)),
    );
  }
}

function drawFound(answer) {
  if (!answer.recommended) {
    $("found").replaceChildren(el("p", { class: "headline" }, t("none")), el("p", { lang: "en" }, answer.reason));
    return;
  }
  const best = answer.recommended,
    seconds = units.duration(answer.seconds);
  $("found").replaceChildren(
    el(
      "p",
      { class: "headline" },
      el("b", {}, `${t("recommended")}: ${sized(best)} `),
      taking(best),
      el("span", { class: "quiet", lang: "en" }, ` ${answer.reason}`),
    ),
    el(
      "figure",
      {},
      front(answer),
      el("figcaption", {}, `${t("front")} ${t("looked", { n: units.whole(answer.evaluated), s: seconds })}.`),
    ),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("search") }, shapes(answer)),
    el(
      "ul",
      { lang: "en" },
      answer.limits.filter((limit) => limit.binding).map((limit) => el("li", {}, limit.words ?? limit.limit)),
    ),
  );
}

const taking = (row) =>
  el(
    "button",
    {
      type: "button",
      "aria-label": `${t("useShape")}: ${sized(row)}`,
      on: { click: () => change({ model: row.model }) },
    },
    t("use"),
  );

function shapes(answer) {
  const heads = [t("shapeHead"), t("aspect"), t("parameters"), t("lossAxis"), t("decodeAxis"), t("fits"), t("use")];
  const rows = answer.table.map((row) => [
    sized(row),
    row.aspect.toFixed(1),
    units.count(row.parameters),
    units.nats(row.loss),
    units.duration(row.decode_s),
    units.size(row.memory_bytes),
    taking(row),
  ]);
  return table(heads, rows, {
    marked: answer.table.findIndex((row) => row.model === answer.recommended.model),
    caption: t("search"),
  });
}

function front(answer) {
  const width = Math.max(300, $("found").clientWidth || 640),
    points = answer.front.filter((row) => row.front_of.includes("decode_s"));
  const times = points.map((row) => row.decode_s),
    losses = points.map((row) => row.loss),
    pad = (Math.max(...losses) - Math.min(...losses)) * 0.08 || 0.01;
  const x = logarithmic(Math.min(...times) / 1.1, Math.max(...times) * 1.1, LEFT, width - RIGHT),
    y = linear(Math.min(...losses) - pad, Math.max(...losses) + pad, HEIGHT - BOTTOM, TOP);
  const picture = svg("svg", {
    class: "chart",
    viewBox: `0 0 ${width} ${HEIGHT}`,
    role: "group",
    "aria-label": t("front"),
  });
  picture.append(
    svg("text", { class: "title", x: LEFT, y: 12 }, t("lossAxis")),
    ...y.ticks.flatMap((tick) => [
      svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y.at(tick), y2: y.at(tick) }),
      svg("text", { x: LEFT - 6, y: y.at(tick) + 4, "text-anchor": "end" }, tick.toFixed(2)),
    ]),
    ...x.ticks.map((tick) =>
      svg("text", { x: x.at(tick), y: HEIGHT - 26, "text-anchor": "middle" }, units.duration(tick)),
    ),
    svg("text", { x: (LEFT + width) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, t("decodeAxis")),
    ...points.map((row) => point(row, x, y, answer)),
  );
  return picture;
}

function point(row, x, y, answer) {
  const own = row.model === answer.recommended.model,
    go = () => change({ model: row.model });
  const press = (event) => ["Enter", " "].includes(event.key) && (event.preventDefault(), go());
  const said = `${sized(row)}, ${t("loss")} ${units.nats(row.loss)}, ${t("decode")} ${units.duration(row.decode_s)}`;
  return svg(
    "circle",
    {
      class: own ? "dot present" : "dot",
      cx: x.at(row.decode_s),
      cy: y.at(row.loss),
      r: own ? 8 : 6,
      tabindex: 0,
      role: "button",
      "aria-label": said,
      style: { fill: own ? "var(--mark)" : "var(--loss)", cursor: "pointer" },
      on: { click: go, keydown: press },
    },
    svg("title", {}, said),
  );
}
