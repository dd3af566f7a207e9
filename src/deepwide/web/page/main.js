// The page: whenever its state changes, every question is asked anew and each panel drawn as its answer comes.

import { Refused, ask, end } from "./api.js";
import { buildControls, fillCatalogues, showControls } from "./controls.js";
import { drawDepth } from "./depth.js";
import { buildDesign, showDesign } from "./design.js";
import { $, el } from "./dom.js";
import { drawCards, drawMemory, drawParts, drawSpeed } from "./panels.js";
import { quick, slower, unknown } from "./questions.js";
import { buildShare } from "./share.js";
import { change, onChange, state } from "./state.js";
import { buildUpload, restore } from "./upload.js";
import { drawVerdict } from "./verdict.js";
import { speak, t } from "./words.js";

const seen = { models: [], depth: null };
const SETTLED_MS = 120;
let turn = 0,
  asking = false,
  later = 0;

// One round of questions at a time: what changes meanwhile is asked when the round is over, and nothing piles up.
async function answer() {
  turn += 1;
  clearTimeout(later);
  if (asking) return;
  asking = true;
  document.body.classList.add("busy");
  try {
    for (let mine = 0; mine !== turn;) {
      mine = turn;
      await round(mine);
    }
  } catch (error) {
    $("model-error").textContent = error.message;
  }
  asking = false;
  document.body.classList.remove("busy");
  later = setTimeout(settle, SETTLED_MS, turn);
}

async function round(mine) {
  const models = [state.model, state.other].filter(Boolean).map((text, at) => unknown(text, seen.models[at]));
  await Promise.all(models.map((model, at) => quick(model, "AB"[at])));
  drawModels(models);
  if (mine !== turn || !models[0].count) return;
  await Promise.all(models.map((model, at) => slower(model, "AB"[at])));
  drawCards(models);
  drawNotes(models);
}

// What takes longest is asked when the sliders have come to rest.
async function settle(mine) {
  if (!seen.models[0]?.count) return;
  try {
    await Promise.all([drawPicture(mine), drawComparison(mine)]);
    if (mine === turn) $("status").textContent = t("ready");
    await fillCatalogues();
  } catch (error) {
    if (error.name !== "AbortError") $("model-error").textContent = error.message;
  }
}

function drawModels(models) {
  seen.models = models;
  $("model-error").textContent = models[0].errors.count ?? "";
  $("other-error").textContent = models[1]?.errors.count ?? "";
  showControls(models[0].count?.sizes);
  showDesign(models[0].count?.parameters.total);
  if (!models[0].count) return;
  $("headline").textContent = models.map((model) => model.text).join("  ·  ");
  drawCards(models);
  drawParts(models);
  drawMemory(models);
  drawSpeed(models);
  drawNotes(models);
}

function drawNotes(models) {
  const said = models.flatMap((model) => [
    ...Object.values(model.errors),
    ...(model.count?.notes ?? []),
    ...(model.inference?.notes ?? []),
    ...(model.loss?.reasons ?? []),
  ]);
  $("notes").replaceChildren(...[...new Set(said)].map((note) => el("li", {}, note)));
  $("commands").textContent = [
    `deepwide count '${state.model}' --explain`,
    `deepwide memory '${state.model}' --on ${state.on} --devices ${state.devices} --weights ${state.weights} --context ${state.context} --batch ${state.batch}`,
    `deepwide explain '${state.model}' --on ${state.on}`,
  ].join("\n");
}

// First what is known at once; then, a moment later, with the training step, whose plan is searched for every shape.
async function drawPicture(mine) {
  const { model, on, tokens, context, train } = state,
    question = { model, on, tokens, context, devices: train };
  for (const training of [false, true]) {
    try {
      const depth = await ask("deep-or-wide", { ...question, training }, "depth");
      if (mine !== turn) return;
      seen.depth = depth;
      drawDepth(depth);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      $("depth").replaceChildren(el("p", { class: "quiet", lang: "en" }, error.message));
      $("best").replaceChildren();
      return;
    }
  }
}

async function drawComparison(mine) {
  if (!state.other) {
    end("compare");
    drawVerdict(null);
    return;
  }
  const { model, other, on, tokens, train } = state;
  const told = await ask("compare", { models: `${model};${other}`, on, tokens, devices: train }).catch((error) => {
    if (!(error instanceof Refused)) throw error;
    return error;
  });
  if (mine === turn) told instanceof Refused ? drawVerdict(null, told.message) : drawVerdict(told);
}

function buildTools() {
  $("language").addEventListener("click", () => change({ lang: state.lang === "zh" ? "en" : "zh" }));
  $("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    localStorage.setItem("theme", document.documentElement.dataset.theme);
    showTools();
  });
  if (localStorage.getItem("theme")) document.documentElement.dataset.theme = localStorage.getItem("theme");
}

const dark = () =>
  (document.documentElement.dataset.theme ??
    (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

function showTools() {
  speak();
  $("theme").textContent = t(dark() ? "light" : "dark");
  $("language").textContent = state.lang === "zh" ? "English" : "中文";
  $("language").lang = state.lang === "zh" ? "en" : "zh";
}

buildControls();
buildDesign();
buildUpload();
buildShare(() => seen);
buildTools();
showTools();
showControls();
onChange((names) => {
  if (names.includes("lang")) showTools();
  showControls();
  answer();
});
addEventListener("resize", () => seen.depth && requestAnimationFrame(() => drawDepth(seen.depth)));
await restore();
await answer();
