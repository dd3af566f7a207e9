// What is seen at once of one model or two: the cards, where the parameters are, what fits, what takes the time.

import { ask } from "./api.js";
import { $, el } from "./dom.js";
import { facts, formula, number, rows, sum } from "./formula.js";
import { state } from "./state.js";
import * as units from "./units.js";
import { t } from "./words.js";

const PARTS = ["embedding", "position", "attention", "ffn", "router", "norm", "head", "recurrent", "other"];
const MEMORY = ["weights", "kv_cache", "activation", "gradient", "optimizer", "overhead"];
const COLOUR = {
  weights: "attention",
  kv_cache: "head",
  activation: "ffn",
  gradient: "position",
  optimizer: "recurrent",
  overhead: "norm",
  weights_s: "attention",
  cache_s: "head",
  compute_s: "ffn",
  launch_s: "embedding",
  traffic_s: "recurrent",
  overhead_s: "norm",
  other_prompts_s: "other",
};
const word = (part) => t({ ffn: "ffnPart", weights: "weightsPart" }[part] ?? part);
const between = (answer, name, spell) => `${spell(answer.low[name])} – ${spell(answer.high[name])}`;

// Each card: its title, and of a model what the number is, what stands below it, and its formula. Null where there is no answer.
const CARDS = [
  [
    "parameters",
    ({ count }) =>
      count && [
        units.count(count.parameters.total),
        count.parameters.active !== count.parameters.total
          ? `${units.count(count.parameters.active)} ${t("active")}`
          : units.whole(count.parameters.total),
        () => rows(count.rows),
      ],
  ],
  [
    "fits",
    ({ memory }) =>
      memory && [
        units.size(memory.total_bytes),
        el(
          "span",
          { class: memory.fits ? "good" : "bad" },
          `${t(memory.fits ? "yes" : "no")} ${units.size(memory.capacity_bytes)}`,
        ),
        () => sum(memoryParts(memory), units.size),
      ],
  ],
  [
    "decode",
    ({ inference }) =>
      inference && [
        units.duration(inference.decode_s_per_token),
        between(inference, "decode_s_per_token", units.duration),
        () => spent(inference, "decode"),
      ],
  ],
  [
    "prefill",
    ({ inference }) =>
      inference && [
        units.duration(inference.prefill_s),
        between(inference, "prefill_s", units.duration),
        () => spent(inference, "prefill"),
      ],
  ],
  [
    "loss",
    ({ loss }) =>
      loss?.loss != null && [
        units.nats(loss.loss),
        `${units.nats(loss.low)} – ${units.nats(loss.high)}`,
        () => ofLoss(loss),
      ],
  ],
  [
    "training",
    ({ training }) =>
      training && [
        training.fits ? units.duration(training.days * 86400) : el("span", { class: "bad" }, t("no")),
        `${training.fits ? `${units.money(training.usd)} · MFU ${units.share(training.mfu, 0)}` : units.size(training.capacity_bytes)} · ${training.devices} × ${training.on}`,
        () => ofTraining(training),
      ],
  ],
  ["flops", ({ count }) => count && [units.flops(count.flops_per_token.forward), t("forward"), () => ofFlops(count)]],
];

const memoryParts = (memory) => MEMORY.map((part) => [word(part), memory[`${part}_bytes`]]);

function spent(answer, phase) {
  const parts = Object.entries(answer.breakdown[phase]).map(([name, seconds]) => [word(name), seconds]);
  return [...sum(parts, units.duration), facts([[t("source"), answer.basis]])];
}

function ofLoss(loss) {
  return facts([
    [
      t("symbols"),
      "L = E + [(A (N/1e8)^-a · e^(c u²))^(1/k) + (B (D/1e11)^-b · e^(g u²))^(1/k)]^k,  u = ln(hidden/layers / R) − r ln(N/1e8)",
    ],
    [
      t("numbers"),
      `N = ${units.count(loss.parameters)}, D = ${units.count(loss.tokens)}, hidden/layers = ${loss.aspect?.toFixed(0)} → L = ${units.nats(loss.loss)}`,
    ],
    [t("range"), `${units.nats(loss.low)} – ${units.nats(loss.high)}`],
    [t("source"), loss.source],
    [t("aside"), loss.reasons.join("; ")],
  ]);
}

function ofTraining(training) {
  const parts = Object.entries(training.breakdown).map(([name, seconds]) => [
    t(name) === name ? name.replace(/_s$/, "") : t(name),
    seconds,
  ]);
  return [
    ...sum(parts, units.duration),
    facts([
      ["days", `${training.tokens} / ${training.tokens_per_s.toFixed(0)} / 86,400 = ${training.days?.toFixed(1)}`],
      ["plan", training.plan_words],
      [t("range"), `${training.low.days?.toFixed(1)} – ${training.high.days?.toFixed(1)} ${t("days")}`],
      ["MFU", training.mfu_convention],
      [t("source"), training.basis.source],
    ]),
  ];
}

const ofFlops = (count) =>
  ask("formulas", { model: count.asked }, `formulas-${count.asked}`).then((of) => [
    formula(of.flops_per_token, units.flops(of.flops_per_token.value)),
    facts([[t("aside"), count.flops_per_token.convention]]),
  ]);

const lettered = (models, at) => models.length > 1 && el("span", { class: "letter" }, "AB"[at]);

export function drawCards(models) {
  drawBrief(models[0]);
  $("cards").replaceChildren(
    ...CARDS.map(([name, told]) =>
      el(
        "div",
        {},
        el("dt", {}, t(name)),
        models.map((model, at) => {
          const shown = told(model);
          if (!shown) return el("dd", {}, lettered(models, at), el("span", { class: "quiet" }, "–"));
          const [text, below, how] = shown;
          return el("dd", {}, lettered(models, at), number(text, t(name), how), el("small", {}, below));
        }),
      ),
    ),
  );
}

// The first model in one line, which stays in sight on a phone while sliders are moved.
function drawBrief({ count, memory, inference, loss }) {
  const said = [
    count && units.count(count.parameters.total),
    memory && `${units.size(memory.total_bytes)} ${memory.fits ? "✓" : "✗"}`,
    inference && units.duration(inference.decode_s_per_token),
    loss?.loss && `L ${units.nats(loss.loss)}`,
  ];
  $("brief").textContent = said.filter(Boolean).join(" · ");
}

export function drawParts(models) {
  $("parts").replaceChildren(
    ...models.flatMap((model, at) => {
      if (!model.count) return [];
      const { parameters, rows: all } = model.count;
      const parts = PARTS.filter((part) => parameters[part]).map((part) => [
        part,
        parameters[part],
        part,
        number(units.whole(parameters[part]), word(part), () => rows(all.filter((row) => row.part === part)), true),
      ]);
      return stacked(models, at, model.text, parts, parameters.total);
    }),
  );
}

export function drawMemory(models) {
  $("memory").replaceChildren(
    ...models.flatMap((model, at) => (model.memory ? oneMemory(models, at, model) : [refusal(model.errors?.memory)])),
  );
}

function oneMemory(models, at, { text, memory }) {
  const parts = MEMORY.filter((part) => memory[`${part}_bytes`]).map((part) => {
    const bytes = memory[`${part}_bytes`],
      spelled = units.size(bytes);
    const own = { weights: "weights_bytes", kv_cache: "kv_cache_bytes" }[part];
    const told = () => (own ? ofMemory(text, own, spelled) : facts([[t("value"), `${units.whole(bytes)} B`]]));
    return [part, bytes, COLOUR[part], number(spelled, word(part), told, true)];
  });
  const limits = `${t("longest")} ${memory.max_context.toLocaleString("en-US")} · ${t("largest")} ${memory.max_batch.toLocaleString("en-US")}`;
  const verdict = el(
    "p",
    {},
    el(
      "b",
      { class: memory.fits ? "good" : "bad" },
      `${t(memory.fits ? "yes" : "no")} ${units.size(memory.capacity_bytes)}`,
    ),
    ` · ${units.share(memory.total_bytes / memory.capacity_bytes, 0)} · ${limits}`,
  );
  const remedies = memory.remedies.length
    ? [
        el("p", {}, t("would")),
        el(
          "ul",
          { lang: "en" },
          memory.remedies.map((line) => el("li", {}, line)),
        ),
      ]
    : [];
  return [
    ...stacked(models, at, text, parts, memory.total_bytes, Math.max(memory.capacity_bytes, memory.total_bytes)),
    verdict,
    ...remedies,
  ];
}

const ofMemory = (model, name, spelled) =>
  ask(
    "formulas",
    { model, devices: state.devices, weights: state.weights, context: state.context, batch: state.batch },
    `formulas-${model}`,
  ).then((of) => (of[name] ? formula(of[name], spelled) : el("p", {}, spelled)));

export function drawSpeed(models) {
  $("speed").replaceChildren(
    ...models.flatMap((model, at) =>
      model.inference
        ? ["decode", "prefill"].flatMap((phase) => {
            const parts = Object.entries(model.inference.breakdown[phase])
              .filter(([, seconds]) => seconds)
              .map(([name, seconds]) => [
                name,
                seconds,
                COLOUR[name],
                number(units.duration(seconds), word(name), () => spent(model.inference, phase), true),
              ]);
            const total = parts.reduce((all, [, seconds]) => all + seconds, 0);
            return stacked(models, at, `${t(phase)}: ${units.duration(total)}`, parts, total);
          })
        : [refusal(model.errors?.inference)],
    ),
  );
}

const refusal = (error) => el("p", { class: "quiet", lang: "en" }, error ?? "");

// A bar of parts and its legend: [name, value, colour, number].
function stacked(models, at, title, parts, total, whole = total) {
  const pieces = parts.map(([, value, colour]) =>
    el("span", { style: { "flex-basis": `${(100 * value) / whole}%`, background: `var(--part-${colour})` } }),
  );
  const lines = parts.map(([name, value, colour, touched]) =>
    el(
      "li",
      {},
      el("i", { style: { background: `var(--part-${colour})` } }),
      el("span", {}, word(name)),
      touched,
      el("span", {}, units.share(value / total)),
    ),
  );
  return [
    el("p", { class: "caption" }, lettered(models, at), title),
    el("div", { class: "bar", "aria-hidden": "true" }, pieces),
    el("ul", { class: "legend" }, lines),
  ];
}
