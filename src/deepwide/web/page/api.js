// Asking the server: the newest question of a kind ends the older one, and an answer is remembered.

const running = new Map(),
  known = new Map();
const MOST_KNOWN = 200;

export class Refused extends Error {}

export async function ask(route, question, kind = route) {
  const query = Object.entries(question).filter(([, value]) => value !== "" && value != null);
  const url = `/api/${route}?${new URLSearchParams(query)}`;
  running.get(kind)?.abort();
  if (known.has(url)) return known.get(url);
  const stop = new AbortController();
  running.set(kind, stop);
  const answer = await told(await fetch(url, { signal: stop.signal }));
  if (known.size >= MOST_KNOWN) known.delete(known.keys().next().value);
  known.set(url, answer);
  return answer;
}

export async function send(config) {
  return told(
    await fetch("/api/configs", { method: "POST", body: config, headers: { "Content-Type": "application/json" } }),
  );
}

export const end = (kind) => running.get(kind)?.abort();

async function told(response) {
  const answer = await response.json();
  if (!response.ok) throw new Refused(answer.error ?? response.statusText);
  return answer;
}
