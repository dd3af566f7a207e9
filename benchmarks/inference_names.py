"""What tables of measured inference call models, accelerators and formats, in the catalogue's words."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

from deepwide.answers.models import Model, find_model
from deepwide.cost.precision import GgufMix, Precision, precision
from deepwide.errors import BadInput
from deepwide.facts.accelerators import accelerator
from deepwide.facts.device import Accelerator

# Names of the tables that the catalogue spells otherwise.
MODELS = {
    "mixtral-46.7b": "mixtral-8x7b",
    "tinyllama-1b": "tinyllama-1.1b",
    "deepseek-33b": "deepseek-coder-33b",
    "phind-codellama-34b": "codellama-34b",
    "qwen-14b": "qwen-72b,layers=40,hidden=5120,heads=40,kv_heads=40,head_dim=128,ffn=13696",
    "qwen-7b": "qwen-72b,layers=32,hidden=4096,heads=32,kv_heads=32,head_dim=128,ffn=11008",
    "gpt-350m": "like=gpt2,layers=24,hidden=1024,heads=16,ffn=4096,vocab=51200",
    "gpt-1.3b": "like=gpt2,layers=24,hidden=2048,heads=32,ffn=8192,vocab=51200",
    "gpt-89b": "like=gpt2,layers=48,hidden=12288,heads=96,ffn=49152,vocab=51200",
    "gpt-175b": "like=gpt2,layers=96,hidden=12288,heads=96,ffn=49152,vocab=51200",
    "qwen-1.8b": "qwen-72b,layers=24,hidden=2048,heads=16,kv_heads=16,head_dim=128,ffn=5504",
}
PRECISIONS = {"nan/gemm:nan": "bf16", "fp16/bf16": "bf16", "gguf f16": "fp16", "fp4": "nvfp4"}


@cache
def device_of(name: str) -> Accelerator:
    """The accelerator, its name rid of what only the table says."""
    plain = name.replace("\u2011", "-")  # hyphens that do not break
    if plain.startswith("Xeon SPR 48"):  # Sapphire Rapids with 48 cores: the one with 56 of the same memory, cut down
        whole = accelerator("xeon-platinum-8480-plus")
        cut = {kind: rate * 48 / 56 for kind, rate in whole.peak_flops_per_s.items()}
        return replace(whole, name="xeon-spr-48c", peak_flops_per_s=cut)
    for spelling in (plain, re.sub(r"\(.*\)", "", plain), re.sub(r" \d+GB$", "", plain)):
        try:
            return accelerator(spelling)
        except BadInput as error:
            refused = error
    raise refused


@cache
def model_of(name: str) -> Model:
    """The model, its name rid of endings that change no size, or built from the shape in its name."""
    if shape := re.search(r"\((\d+)L,\s*(\d+)d,\s*(\d+)h", name):
        layers, hidden, heads = shape.groups()
        family = "bert" if name.startswith("BERT") else "gpt2"
        return find_model(f"like={family},layers={layers},hidden={hidden},heads={heads},ffn={4 * int(hidden)}")
    plain = name.lower().replace(" ", "-")
    plain = re.sub(r"(-instruct|-hf|-v0\.\d|-chat)$", "", plain).removeprefix("meta-")
    return find_model(MODELS.get(plain, plain))


@cache
def format_of(name: str) -> tuple[str, Precision | GgufMix]:
    """The format of the weights: the name that runtimes know it by, and what it stores."""
    word = name.lower()
    if bits := re.search(r"exl2-(\d)\.(\d)bpw", word):
        extra = int(int(bits[2]) * 3.2)
        return "int4", Precision(name=word, bits=int(bits[1]), group=32, group_bits=extra, linear_only=True)
    word = PRECISIONS.get(word, word).removeprefix("gguf ")
    for part in ("fp8", "nvfp4", "int8", "int4", "4bit"):
        if part in word:
            word = "int4" if part == "4bit" else part
    kind = "awq" if "awq" in name.lower() else word
    return kind, precision("int4" if word == "awq" else word)
