// What is asked of one model: first what is known at once, then what takes a search or a law.

import { Refused, ask } from "./api.js";
import { state } from "./state.js";

const QUICK = {
  count: ({ text }) => ["count", { model: text, explain: true }],
  memory: ({ text }) => ["memory", { ...served(text), devices: state.devices, context: state.context }],
  inference: ({ text }) => ["predict/inference", { ...served(text), tp: state.devices, input: state.context }],
};
const SLOWER = {
  loss: ({ text }) => ["predict/loss", { model: text, tokens: state.tokens }],
  training: ({ text }) => [
    "predict/training",
    { model: text, on: state.on, devices: state.train, tokens: state.tokens },
  ],
};

const served = (model) => ({ model, on: state.on, weights: state.weights, batch: state.batch });

// A model about which nothing is known yet; what takes longer stays as it was until it comes.
export const unknown = (text, before) => ({ text, errors: {}, loss: before?.loss, training: before?.training });

export const quick = (model, letter) => answered(model, letter, QUICK);
export const slower = (model, letter) => answered(model, letter, SLOWER);

// Fills in the answers; null where there is none, and why not in `errors`.
async function answered(model, letter, questions) {
  await Promise.all(
    Object.entries(questions).map(async ([name, question]) => {
      model[name] = await ask(...question(model), `${name}-${letter}`).catch((error) => refused(model, name, error));
    }),
  );
}

function refused(model, name, error) {
  if (!(error instanceof Refused)) throw error;
  model.errors[name] = error.message;
  return null;
}
