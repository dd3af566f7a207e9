// Axes of the charts: where a value stands in pixels, and which values are named.

export function linear(low, high, from, to) {
  const at = (value) => from + ((value - low) / (high - low || 1)) * (to - from);
  return { at, ticks: steps(low, high, 5) };
}

export function logarithmic(low, high, from, to) {
  const inner = linear(Math.log(low), Math.log(high), from, to);
  const tens = Array.from({ length: 40 }, (_, n) => 10 ** (n - 14));
  const each = Math.log10(high / low) < 2.5 ? [1, 2, 5] : [1];
  const ticks = tens.flatMap((ten) => each.map((n) => n * ten)).filter((tick) => tick >= low && tick <= high);
  return { at: (value) => inner.at(Math.log(value)), ticks };
}

function steps(low, high, most) {
  const ten = 10 ** Math.floor(Math.log10((high - low || 1) / most));
  const step = [1, 2, 5, 10].map((n) => n * ten).find((n) => (high - low) / n <= most) ?? 10 * ten;
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, n) =>
    Number(((first + n) * step).toPrecision(12)),
  );
}
