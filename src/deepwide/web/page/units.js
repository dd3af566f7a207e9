// How quantities are spelled, as on the command line: GiB is 2^30 bytes, counts are in decimal thousands.

function scaled(value, steps, digits) {
  const [step, unit] = steps.find(([step]) => Math.abs(value) >= step) ?? steps.at(-1);
  return `${(value / step).toFixed(digits)}${unit}`;
}

const COUNTS = [
  [1e12, "T"],
  [1e9, "B"],
  [1e6, "M"],
  [1e3, "k"],
  [1, ""],
];
const BYTES = [
  [2 ** 40, " TiB"],
  [2 ** 30, " GiB"],
  [2 ** 20, " MiB"],
  [2 ** 10, " KiB"],
  [1, " B"],
];
const SECONDS = [
  [86400 * 2, " d", 86400],
  [7200, " h", 3600],
  [120, " min", 60],
  [1, " s", 1],
  [1e-3, " ms", 1e-3],
  [0, " µs", 1e-6],
];

export const whole = (value) => Math.round(value).toLocaleString("en-US");
export const count = (value, digits = 2) => (value < 1000 ? whole(value) : scaled(value, COUNTS, digits));
export const size = (bytes, digits = 1) => scaled(bytes, BYTES, digits);
const FLOPS = [
  [1e15, " P"],
  [1e12, " T"],
  [1e9, " G"],
  [1e6, " M"],
  [1, ""],
];
export const flops = (value) => scaled(value, FLOPS, 2);
export const share = (value, digits = 1) => `${(100 * value).toFixed(digits)}%`;
export const nats = (value) => value.toFixed(3);
export const money = (usd) => (usd >= 1e6 ? `$${(usd / 1e6).toFixed(2)}M` : `$${whole(usd)}`);
export function duration(seconds) {
  const [, unit, step] = SECONDS.find(([least]) => seconds >= least);
  const value = seconds / step;
  return `${value >= 100 ? whole(value) : value.toPrecision(3)}${unit}`;
}

// "7B", "4k", "4096" -> a number; NaN where it is none.
export function parsedCount(text) {
  const [, number, ending] = /^\s*([\d.]+(?:e\d+)?)\s*([kKMGBT]?)\s*$/.exec(text) ?? [];
  return Number(number) * ({ k: 1e3, K: 1e3, M: 1e6, G: 1e9, B: 1e9, T: 1e12 }[ending] ?? 1);
}
