// The left column: which model, its sizes on sliders, the hardware. Moving a slider writes a change into the MODEL.

import { ask } from "./api.js";
import { $, el } from "./dom.js";
import { change, changed, plain, state } from "./state.js";
import { count, parsedCount, whole } from "./units.js";
import { t } from "./words.js";

const VOCABS = [8192, 16384, 32000, 50257, 65536, 100352, 128256, 151936, 200064, 256000];
const WEIGHTS = ["bf16", "fp8", "int8", "int4", "nf4", "awq", "gptq", "q4_k_m", "fp32"];
const POWERS = (most) => Array.from({ length: most + 1 }, (_, n) => 2 ** n);
const TOKENS = [1e9, 1e10, 2e10, 1e11, 2e11, 5e11, 1e12, 2e12, 5e12, 1e13, 1.5e13, 3e13];

// Name of a slider -> the values it can take, given the sizes of the model; and what is changed when it is moved.
const SHAPE = {
  layers: { values: () => Array.from({ length: 200 }, (_, n) => n + 1), change: (layers) => ({ layers }) },
  hidden: { values: widths, change: resized },
  heads: { values: (s) => divisors(s.hidden).filter((n) => between(s.hidden / n, 16, 512)), change: reheaded },
  kv_heads: { values: (s) => divisors(s.heads), change: (kv_heads) => ({ kv_heads }) },
  ffn: {
    values: () => Array.from({ length: 113 }, (_, n) => 1 + n / 16),
    of: (s) => s.ffn / s.hidden,
    change: (ratio, s) => ({ ffn: rounded(ratio * s.hidden, 64) }),
    spell: (ratio) => ratio.toFixed(2),
  },
  vocab: { values: () => VOCABS, change: (vocab) => ({ vocab }) },
};
const SETTING = {
  devices: { values: POWERS(14) },
  context: { values: POWERS(20).slice(7) },
  batch: { values: POWERS(12) },
  tokens: { values: TOKENS, spell: (n) => count(n, 0), write: (n) => count(n, 0) },
  train: { values: POWERS(14) },
};
let sizes = null,
  grip = null; // what the model has; what it had when a slider was taken hold of

const between = (value, low, high) => value >= low && value <= high;
const rounded = (value, to) => Math.max(1, Math.round(value / to)) * to;
const divisors = (n) => Array.from({ length: Math.min(n ?? 0, 1024) }, (_, i) => i + 1).filter((d) => n % d === 0);
const nearest = (values, wanted) =>
  values.reduce((best, value, at) => (Math.abs(value - wanted) < Math.abs(values[best] - wanted) ? at : best), 0);

function widths(s) {
  const step = s.head_dim ?? 64,
    least = s.kv_heads && s.kv_heads < s.heads ? s.kv_heads : 1;
  const each = s.heads ? (s.hidden / s.heads) * least : step;
  return Array.from({ length: Math.floor(20480 / each) }, (_, n) => Math.round((n + 1) * each));
}

function resized(hidden, s) {
  if (!s.heads) return { hidden };
  const heads = Math.round((hidden * s.heads) / s.hidden);
  const kv_heads = s.kv_heads === s.heads ? heads : s.kv_heads;
  return {
    hidden,
    heads,
    ...(s.kv_heads && { kv_heads }),
    ...(s.ffn && { ffn: rounded((s.ffn * hidden) / s.hidden, 64) }),
  };
}

function reheaded(heads, s) {
  const kv_heads = s.kv_heads === s.heads ? heads : Math.max(...divisors(heads).filter((n) => n <= s.kv_heads));
  return { heads, kv_heads, ...(s.head_dim * s.heads === s.hidden && { head_dim: s.hidden / heads }) };
}

function slider(name, spell) {
  const input = el("input", { type: "range", id: `size-${name}`, min: 0, step: 1 });
  const output = el("output", { for: input.id, id: `said-${name}` });
  const label = el("label", { for: input.id, "data-t": name }, t(name));
  return { input, output, row: el("p", { class: "slider" }, label, output, input), spell };
}

const made = {};

export function buildControls() {
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  for (const [name, kind] of Object.entries(SHAPE)) {
    made[name] = slider(name, kind.spell ?? whole);
    made[name].input.addEventListener("input", () => moved(name));
    for (const event of ["focus", "pointerdown"])
      made[name].input.addEventListener(event, () => {
        grip = sizes;
      });
    $("sizes").append(made[name].row);
  }
  for (const [name, kind] of Object.entries(SETTING)) {
    made[name] = slider(name, kind.spell ?? whole);
    made[name].input.addEventListener("input", () => set(name));
    $("setting").append(made[name].row);
  }
  $("weights").append(...WEIGHTS.map((name) => el("option", { value: name }, name)));
  $("on").append(el("option", { value: state.on }, state.on));
  for (const name of ["on", "weights"]) $(name).addEventListener("change", () => change({ [name]: $(name).value }));
  $("model").addEventListener("change", () =>
    change({
      model: $("model").value.trim() || "llama-3-8b",
      ...(!$("model").value.startsWith("config-") && !state.other.startsWith("config-") && { config: "" }),
    }),
  );
  $("other").addEventListener("change", () => change({ other: $("other").value.trim() }));
  $("reset").addEventListener("click", () => change({ model: plain(state.model) }));
  $("keep").addEventListener("click", () => change({ other: state.model }));
  $("clear").addEventListener("click", () => change({ other: "" }));
}

function moved(name) {
  const { input, values, spell } = made[name],
    value = values[input.value];
  tell(made[name], spell(value));
  if (sizes) change({ model: changed(state.model, SHAPE[name].change(value, grip ?? sizes)) });
}

function set(name) {
  const kind = SETTING[name],
    value = kind.values[made[name].input.value];
  tell(made[name], made[name].spell(value));
  change({ [name]: (kind.write ?? String)(value) });
}

// Puts every control where the state says; `own` are the sizes of the model, once they are known.
export function showControls(own) {
  sizes = own ?? sizes;
  for (const name of ["model", "other", "weights", "on"])
    if (document.activeElement !== $(name)) $(name).value = state[name];
  $("reset").hidden = plain(state.model) === state.model;
  $("clear").hidden = !state.other;
  for (const [name, kind] of Object.entries(SETTING)) put(made[name], kind.values, parsedCount(state[name]));
  if (!own) return;
  for (const [name, kind] of Object.entries(SHAPE)) {
    const value = kind.of ? kind.of(sizes) : sizes[name];
    put(
      made[name],
      value ? [...new Set([...kind.values(sizes), ...(kind.of ? [] : [value])])].sort((a, b) => a - b) : [],
      value,
    );
  }
}

function put(control, values, value) {
  const { input, spell } = control;
  if (document.activeElement === input && control.values) return; // it is being moved
  control.values = values;
  input.disabled = values.length < 2;
  input.max = Math.max(0, values.length - 1);
  input.value = values.length ? nearest(values, value) : 0;
  tell(control, value ? spell(value) : "–");
}

function tell({ input, output }, said) {
  output.textContent = said;
  input.setAttribute("aria-valuetext", said);
}

export async function fillCatalogues() {
  if ($("models").childElementCount) return;
  const [{ models }, { accelerators }] = await Promise.all([ask("models", {}), ask("accelerators", {})]);
  const rows = models.map((m) =>
    el(
      "option",
      { value: m.name },
      `${m.maker}, ${m.year}, ${m.parameters ? count(m.parameters) : t("undisclosed")}`,
    ),
  );
  $("models").replaceChildren(...rows);
  $("on").replaceChildren(
    ...accelerators.map((a) => el("option", { value: a.name }, `${a.name} · ${whole(a.memory_bytes / 2 ** 30)} GiB`)),
  );
  $("on").value = state.on;
}
