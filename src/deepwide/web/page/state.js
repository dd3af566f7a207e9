// The whole state of the page is its address: what is read from it is all there is, so a link shows what its sender saw.

export const DEFAULTS = {
  model: "llama-3-8b",
  other: "",
  on: "h100-sxm",
  weights: "bf16",
  devices: "1",
  context: "4096",
  batch: "1",
  tokens: "1T",
  train: "64",
  budget: "",
  ms: "",
  gb: "",
  config: "",
  lang: navigator.language.startsWith("zh") ? "zh" : "en",
};
const listeners = [];
export const state = read();

function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(Object.entries(DEFAULTS).map(([name, usual]) => [name, given.get(name) ?? usual]));
}

export function address() {
  const said = Object.entries(state).filter(([name, value]) => value !== DEFAULTS[name]);
  return `#${new URLSearchParams(said)}`;
}

export function change(values) {
  Object.assign(state, values);
  history.replaceState(null, "", address());
  listeners.forEach((tell) => tell(Object.keys(values)));
}

export function onChange(listener) {
  listeners.push(listener);
}

addEventListener("hashchange", () => change(read()));

// A MODEL is a name and its changes: "llama-3-8b,layers=48".
export function parsed(model) {
  const words = model
    .split(",")
    .map((word) => word.trim())
    .filter(Boolean);
  const sizes = {},
    kept = [];
  for (const word of words) {
    const [name, size] = word.split("=");
    if (size !== undefined && SIZES.includes(name)) sizes[name] = size;
    else kept.push(word);
  }
  return { kept, sizes };
}

const SIZES = ["layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab"];

export function changed(model, sizes) {
  const { kept, sizes: own } = parsed(model);
  const all = { ...own, ...sizes };
  return [...kept, ...Object.entries(all).map(([name, size]) => `${name}=${size}`)].join(",");
}

export const plain = (model) => (model.startsWith("like=") || !model.includes(",") ? model : model.split(",")[0]);
