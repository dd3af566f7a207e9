// Taking something along: the link, the answers as JSON or CSV, the shape as config.json, the picture as PNG.

import { ask } from "./api.js";
import { $ } from "./dom.js";
import { state } from "./state.js";
import { t } from "./words.js";

export function buildShare(seen) {
  $("share").addEventListener("click", async () => {
    await navigator.clipboard?.writeText(location.href);
    $("share").textContent = t("copied");
    setTimeout(() => {
      $("share").textContent = t("share");
    }, 1500);
  });
  for (const button of document.querySelectorAll("[data-download]")) {
    button.addEventListener("click", async () => {
      $("downloads").open = false;
      await KINDS[button.dataset.download](seen()).then((file) => save(...file), refused);
    });
  }
}

const named = (ending) => `deepwide-${state.model.replaceAll(/[^\w.-]+/g, "_").slice(0, 60)}.${ending}`;
const KINDS = {
  json: async (seen) => [
    named("json"),
    new Blob([JSON.stringify({ state, ...seen }, null, 1)], { type: "application/json" }),
  ],
  csv: async (seen) => [named("csv"), new Blob([table(seen.depth?.shapes ?? [])], { type: "text/csv" })],
  config: async () => {
    const { text } = await ask("export", { model: state.model, to: "huggingface" });
    return [named("config.json"), new Blob([text], { type: "application/json" })];
  },
  png: async () => [named("png"), await png($("depth").querySelector("svg"))],
};

function refused(error) {
  $("model-error").textContent = error.message;
}

function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function table(shapes) {
  const names = Object.keys(shapes[0] ?? {}).filter((name) => name !== "reasons");
  const cell = (value) =>
    /[",\n]/.test(String(value ?? "")) ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? "");
  return [names.join(","), ...shapes.map((shape) => names.map((name) => cell(shape[name])).join(","))].join("\n");
}

// The picture with the colours it has now: what style sheets say is written into a copy.
async function png(picture) {
  const copy = picture.cloneNode(true),
    { width, height } = picture.viewBox.baseVal,
    scale = 2;
  const originals = picture.querySelectorAll("*");
  copy.querySelectorAll("*").forEach((element, at) => {
    const own = getComputedStyle(originals[at]);
    for (const name of [
      "fill",
      "stroke",
      "stroke-width",
      "stroke-dasharray",
      "opacity",
      "fill-opacity",
      "font",
      "paint-order",
    ])
      element.style.setProperty(name, own.getPropertyValue(name));
  });
  copy.setAttribute("width", width * scale);
  copy.setAttribute("height", height * scale);
  const image = new Image();
  image.src = `data:image/svg+xml;utf8,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
  await image.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: width * scale, height: height * scale }),
    paint = canvas.getContext("2d");
  paint.fillStyle = getComputedStyle(document.body).backgroundColor;
  paint.fillRect(0, 0, canvas.width, canvas.height);
  paint.drawImage(image, 0, 0);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}
