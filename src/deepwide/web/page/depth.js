// The central picture: at this size, deep against wide. One column for each shape goes through all panels: it can be
// touched, tabbed to and pressed, and takes the page to its shape.

import { $, el, svg, table } from "./dom.js";
import { linear, logarithmic } from "./scales.js";
import { change } from "./state.js";
import * as units from "./units.js";
import { t } from "./words.js";

const PANEL = 118,
  GAP = 34,
  TOP = 22,
  LEFT = 58,
  RIGHT = 16,
  BOTTOM = 44;
const SHOWN_NATS = 0.0005; // less would be spelled as nothing
const PANELS = [
  {
    name: "lossAxis",
    colour: "loss",
    value: (s) => s.loss,
    low: (s) => s.loss - s.loss_apart,
    high: (s) => s.loss + s.loss_apart,
    spell: (v) => v.toFixed(2),
    exact: units.nats,
  },
  {
    name: "stepAxis",
    colour: "training",
    value: (s) => s.step_s,
    low: (s) => s.step_low_s,
    high: (s) => s.step_high_s,
    spell: units.duration,
    log: true,
  },
  {
    name: "decodeAxis",
    colour: "decode",
    value: (s) => s.decode_s,
    low: (s) => s.decode_low_s,
    high: (s) => s.decode_high_s,
    spell: units.duration,
    log: true,
  },
  {
    name: "sumsAxis",
    colour: "sums",
    value: (s) => s.sums_share,
    spell: (v) => units.share(v, 0),
    exact: units.share,
  },
];

export const sized = (shape) => `${shape.layers} × ${units.whole(shape.hidden)}`;
const load = (shape, own) => shape.model !== own && change({ model: shape.model });

export function drawDepth(answer) {
  const width = Math.max(300, $("depth").clientWidth || 640);
  const shapes = answer.shapes.filter((s) => s.layers && s.loss != null);
  const panels = PANELS.map((p) => ({ ...p, shapes: shapes.filter((s) => p.value(s) != null) })).filter(
    (p) => p.shapes.length > 1,
  );
  const height = TOP + panels.length * (PANEL + GAP) + BOTTOM - GAP;
  const layers = shapes.map((s) => s.layers);
  const x = logarithmic(Math.min(...layers) / 1.15, Math.max(...layers) * 1.15, LEFT, width - RIGHT);
  const picture = svg("svg", {
    class: "chart",
    viewBox: `0 0 ${width} ${height}`,
    role: "group",
    "aria-label": t("against"),
  });
  panels.forEach((panel, at) => picture.append(...drawn(panel, TOP + at * (PANEL + GAP), width, x, answer)));
  const foot = TOP + panels.length * (PANEL + GAP) - GAP;
  picture.append(
    ...x.ticks.map((tick) =>
      svg("text", { x: x.at(tick), y: foot + 16, "text-anchor": "middle" }, units.whole(tick)),
    ),
    svg("text", { x: (LEFT + width - RIGHT) / 2, y: foot + 36, "text-anchor": "middle" }, t("layersAxis")),
  );
  picture.append(...columns(shapes, x, foot, width, answer));
  $("depth").replaceChildren(picture);
  drawTable(shapes, answer);
  $("best").replaceChildren(...offered(answer));
}

function drawn(panel, top, width, x, answer) {
  const { shapes, value, colour } = panel,
    ends = [panel.low ?? value, panel.high ?? value];
  const values = shapes
    .flatMap((s) => [value(s), ...(panel.log ? ends.map((end) => end(s)) : [])])
    .filter((v) => v != null);
  const low = Math.min(...values),
    high = Math.max(...values),
    pad = (high - low) * 0.12 || high * 0.1;
  const y = panel.log
    ? logarithmic(low / 1.1, high * 1.1, top + PANEL, top)
    : linear(Math.max(0, low - pad), high + pad, top + PANEL, top);
  const clamp = (v) => Math.min(top + PANEL, Math.max(top, y.at(v)));
  const points = shapes.map((s) => [x.at(s.layers), y.at(value(s))]);
  const edges = panel.low
    ? [
        ...shapes.map((s) => [x.at(s.layers), clamp(panel.high(s))]),
        ...shapes.map((s) => [x.at(s.layers), clamp(panel.low(s))]).reverse(),
      ]
    : [];
  return [
    svg("text", { class: "title", x: LEFT, y: top - 8 }, t(panel.name)),
    ...y.ticks.flatMap((tick) => [
      svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y.at(tick), y2: y.at(tick) }),
      svg("text", { x: LEFT - 6, y: y.at(tick) + 4, "text-anchor": "end" }, panel.spell(tick)),
    ]),
    edges.length && svg("path", { class: "band", d: `M${edges.join("L")}Z`, style: { fill: `var(--${colour})` } }),
    svg("path", { class: "line", d: `M${points.join("L")}`, style: { stroke: `var(--${colour})` } }),
    ...shapes.map((s, at) =>
      svg("circle", {
        class: "dot",
        cx: points[at][0],
        cy: points[at][1],
        r: 4,
        style: { fill: `var(--${colour})` },
      }),
    ),
    ...marks(panel, points, answer),
  ].filter(Boolean);
}

// The present shape as a star-like dot with its value; the best one as a ring.
function marks({ shapes, value, exact, spell }, points, answer) {
  return shapes.flatMap((s, at) => {
    const [cx, cy] = points[at];
    const ring =
      s.model === answer.best && s.model !== answer.present
        ? [svg("circle", { cx, cy, r: 8, class: "line", style: { stroke: "var(--good)" } })]
        : [];
    if (s.model !== answer.present) return ring;
    return [
      ...ring,
      svg("circle", { class: "dot present", cx, cy, r: 6.5 }),
      svg("text", { class: "value", x: cx, y: cy - 12, "text-anchor": "middle" }, (exact ?? spell)(value(s))),
    ];
  });
}

function columns(shapes, x, foot, width, answer) {
  const at = shapes.map((s) => x.at(s.layers));
  const edge = (n) => (n < 0 ? LEFT : n >= at.length - 1 ? width - RIGHT : (at[n] + at[n + 1]) / 2);
  const own = shapes.findIndex((s) => s.model === answer.present);
  const guide = own >= 0 ? [svg("line", { class: "guide", x1: at[own], x2: at[own], y1: TOP, y2: foot })] : [];
  return [
    ...guide,
    ...shapes.map((s, n) => {
      const go = () => load(s, answer.present);
      const press = (event) => ["Enter", " "].includes(event.key) && (event.preventDefault(), go());
      return svg(
        "rect",
        {
          class: "column",
          x: edge(n - 1),
          width: Math.max(1, edge(n) - edge(n - 1)),
          y: TOP - 16,
          height: foot - TOP + 16,
          tabindex: 0,
          role: "button",
          "aria-label": `${s.model === answer.present ? `${t("present")}: ` : ""}${said(s)}`,
          on: { click: go, keydown: press },
        },
        svg("title", {}, said(s)),
      );
    }),
  ];
}

const said = (s) =>
  [
    `${sized(s)} (${units.count(s.parameters)})`,
    `${t("loss")} ${units.nats(s.loss)} ± ${units.nats(s.loss_apart)}`,
    s.decode_s && `${t("decode")} ${units.duration(s.decode_s)}`,
    s.step_s && `${t("stepAxis")} ${units.duration(s.step_s)}`,
    s.sums_share != null && `${t("sumsAxis")} ${units.share(s.sums_share)}`,
  ]
    .filter(Boolean)
    .join(", ");

function drawTable(shapes, answer) {
  const cells = (s) => [
    sized(s),
    s.aspect.toFixed(1),
    units.count(s.parameters),
    `${units.nats(s.loss)} ± ${units.nats(s.loss_apart)}`,
    s.decode_s ? units.duration(s.decode_s) : "–",
    s.step_s ? units.duration(s.step_s) : "–",
    s.sums_share == null ? "–" : units.share(s.sums_share),
    using(s, answer.present),
  ];
  const heads = [
    t("shapeHead"),
    t("aspect"),
    t("parameters"),
    t("lossAxis"),
    t("decodeAxis"),
    t("stepAxis"),
    t("sumsAxis"),
    t("use"),
  ];
  $("depth-table").replaceChildren(
    table(heads, shapes.map(cells), {
      marked: shapes.findIndex((s) => s.model === answer.present),
      caption: t("against"),
    }),
  );
}

const using = (s, own) =>
  s.model === own
    ? t("present")
    : el(
        "span",
        { class: "shapes" },
        el(
          "button",
          { type: "button", "aria-label": `${t("useShape")}: ${sized(s)}`, on: { click: () => load(s, own) } },
          t("use"),
        ),
      );

// What is better than the present shape: at its speed, and at any.
function offered(answer) {
  const of = (model) => answer.shapes.find((s) => s.model === model),
    own = of(answer.present),
    best = of(answer.best),
    lowest = of(answer.lowest);
  if (own?.loss == null) return [];
  const tied = (s) => (own.loss - s.loss < s.loss_apart ? t("tie") : "");
  const words = (key, s) =>
    t(key, {
      shape: sized(s),
      gain: units.nats(own.loss - s.loss),
      tie: tied(s),
      slower: s.decode_s
        ? `${s.decode_s > own.decode_s ? "+" : ""}${units.share(s.decode_s / own.decode_s - 1, 0)}`
        : "",
    });
  const first = best === own ? t("keptBest") : words("offered", best);
  const worth = lowest !== best && own.loss - lowest.loss >= SHOWN_NATS;
  const lines = [
    first,
    " ",
    best !== own && using(best, answer.present),
    worth && ` ${words("lowest", lowest)} `,
    worth && using(lowest, answer.present),
  ];
  return lines.filter(Boolean);
}
