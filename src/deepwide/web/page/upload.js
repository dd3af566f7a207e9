// A config.json, dropped or chosen: the server reads its contents; the address keeps them, so that a link needs no file.

import { send } from "./api.js";
import { $ } from "./dom.js";
import { change, state } from "./state.js";

const LONGEST_IN_ADDRESS = 8000;

export function buildUpload() {
  const drop = $("drop");
  $("config").addEventListener("change", () => taken($("config").files[0]));
  drop.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    taken(event.dataTransfer.files[0]);
  });
}

async function taken(file) {
  if (!file) return;
  try {
    const text = await file.text(),
      { model } = await send(text),
      packed = await pack(text);
    change({ model, config: packed.length <= LONGEST_IN_ADDRESS ? packed : "" });
  } catch (error) {
    $("model-error").textContent = error.message;
  }
  $("config").value = "";
}

// The config of a link is sent before its model is asked for.
export async function restore() {
  if (state.config)
    await send(await unpack(state.config)).catch((error) => {
      $("model-error").textContent = error.message;
    });
}

async function pack(text) {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}

function unpack(text) {
  const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) =>
    letter.charCodeAt(0),
  );
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).text();
}
