"""How fitted constants are written down: the rows of facts/runtimes.toml, with those that nothing was fitted for."""

from __future__ import annotations

import math

CHUNKS = {  # tokens of a prompt that a runtime reads at once, where it is not the 8,192 of most servers
    "llama.cpp": 512,  # llama-bench's ubatch
    "huggingface": 2**20,
    "tinychat": 2**20,
    "autoawq": 2**20,
    "fastertransformer": 2**20,
    "gpt-fast": 2**20,
    "ipex": 2**20,
}
CAPTURED = {"huggingface": 0, "vllm-2023": 0, "vllm-0.4": 8192}  # vLLM had no graphs at first, then short ones
# llama.cpp multiplies quantised weights as 8-bit integers, and 16-bit ones with 16-bit sums; exllamav2 has 16-bit sums.
NARROW_SUMS = ("llama.cpp", "llama.cpp-2023", "llama.cpp-2024", "llama.cpp-vulkan", "exllamav2")
ALIASES = {
    "huggingface": ("hf", "transformers", "hf-transformers", "hugging-face"),
    "tensorrt-llm": ("trt-llm", "trtllm", "tensorrtllm", "nim"),
    "llama.cpp": ("llamacpp", "llama-cpp", "ollama", "llama.cpp-cuda"),
    "llama.cpp-metal": ("metal",),
    "mlc-llm": ("mlc",),
    "exllamav2": ("exllama", "exl2"),
    "fastertransformer": ("ft",),
    "autoawq": ("awq",),
    "lmdeploy": ("turbomind",),
    "ipex": ("intel-extension-for-pytorch",),
    "gpt-fast": ("torch-compile",),
}
VARIANTS = {"llama.cpp": {"Apple": "llama.cpp-metal", "AMD": "llama.cpp-rocm"}}
# Of a phase that was not measured: about what nine of ten lie within where whole models were held out.
SPREAD = {"decode": 1.3, "prefill": 1.6, "serving": 1.5}
FURTHER = 1.3  # how much wider an interval is on an accelerator that no measurement of the runtime comes from
SOURCE = "fitted by benchmarks/fit_inference.py on published measurements (docs/accuracy.md names them)"
CHECKED = "2026-11-22"
HEAD = """\
# What a runtime makes of an accelerator's kernels, and what it adds: factors on the constants of kernels.toml, and
# seconds where that table is silent (facts/runtimes.py says what each is). A row with `runtime` corrects that runtime
# on one accelerator or for one format of weights: factors all. Written by benchmarks/fit_inference.py.
# `spread` is, by phase, the factor that nine of ten held-out measurements lie within, `spread_elsewhere` the same on
# accelerators that were held out whole; `measurements` is how many the row was fitted on.
"""
UNFITTED = """
[default]
constants = {{ {middle} }}
spread = {{ decode = 1.5, prefill = 1.8, serving = 1.6 }}
spread_elsewhere = {{ decode = 1.5, prefill = 1.8, serving = 1.6 }}
source = "the priors of benchmarks/fit_inference.py: a tuned engine with captured graphs, not fitted"
checked = {checked}

[ideal]
own_kernels = true
constants = {{ {whole}, sharpness = 50, bytes_per_cycle = 1e6, {nothing} }}
spread = {{ decode = 1, prefill = 1, serving = 1 }}
spread_elsewhere = {{ decode = 1, prefill = 1, serving = 1 }}
source = "the accelerator's own rates: a bound that nothing reaches"
checked = {checked}
"""
WHOLE = ("compute_efficiency", "memory_efficiency", "scores_efficiency", "cache_efficiency", "link_efficiency")
WHOLE += ("interference",)
NOTHING_S = ("launch_s", "attention_launch_s", "small_s", "layer_s", "step_s", "sequence_s", "request_s", "stage_s")
NOTHING = (*NOTHING_S, "reread_share", "host_layer_s", "expert_s", "all_reduce_s")
SECONDS = {
    "bytes_per_cycle": 60,
    "small_s": 3e-6,
    "layer_s": 5e-6,
    "step_s": 3e-4,
    "sequence_s": 5e-6,
    "request_s": 2e-3,
    "stage_s": 1e-4,
}
SECONDS |= {"reread_share": 0.05, "host_layer_s": 2e-4, "expert_s": 1e-7, "interference": 0.8}
NEGLIGIBLE = 0.005  # of a logarithm: a factor nearer to 1 is left out

Key = tuple[str, str, str]
Table = tuple[dict[Key, float], dict[str, float], dict[str, float], int]


def runtimes_table(tables: dict[str, Table]) -> str:
    """The whole file."""
    text = HEAD
    for name, (parameters, near, far, count) in tables.items():
        text += _runtime(name, parameters, near, far, count)
        for where in sorted({(a, f) for _, a, f in parameters if a or f}):
            factors = {n: v for (n, a, f), v in parameters.items() if (a, f) == where}
            text += _correction(name, *where, factors)
    nothing = ", ".join(f"{name} = 1e-15" for name in NOTHING)
    whole = ", ".join(f"{name} = 1" for name in WHOLE)
    return text + UNFITTED.format(middle=_shown(SECONDS), whole=whole, nothing=nothing, checked=CHECKED)


def _runtime(name: str, parameters: dict[Key, float], near: dict[str, float], far: dict[str, float], count: int) -> str:
    own = {n: math.exp(v) for (n, a, f), v in parameters.items() if not a and not f}
    close = {phase: near.get(phase, wide) for phase, wide in SPREAD.items()}
    away = {phase: max(far.get(phase, 0), close[phase] * (1 if phase in far else FURTHER)) for phase in SPREAD}
    lines = [f'\n["{name}"]' if "." in name else f"\n[{name}]"]
    if name in ALIASES:
        lines.append(f"aliases = [{', '.join(f'{chr(34)}{a}{chr(34)}' for a in ALIASES[name])}]")
    if name in VARIANTS:
        lines.append("variants = { " + ", ".join(f'{k} = "{v}"' for k, v in VARIANTS[name].items()) + " }")
    for field, table in (("chunk", CHUNKS), ("captured_context", CAPTURED)):
        lines += [f"{field} = {n}" for start, n in table.items() if name.startswith(start)]
    if name in NARROW_SUMS:
        lines.append("narrow_sums = true")
    lines += [f"constants = {{ {_shown(own)} }}", f"spread = {{ {_shown(close)} }}"]
    lines += [f"spread_elsewhere = {{ {_shown(away)} }}", f"measurements = {count}"]
    return "\n".join([*lines, f'source = "{SOURCE}"', f"checked = {CHECKED}", ""])


def _correction(runtime: str, accelerator: str, weights: str, factors: dict[str, float]) -> str:
    kept = {name: math.exp(v) for name, v in factors.items() if abs(v) > NEGLIGIBLE}
    where = {"runtime": runtime, "accelerator": accelerator, "weights": weights}
    lines = [f'\n["{" / ".join(word for word in where.values() if word)}"]']
    lines += [f'{field} = "{word}"' for field, word in where.items() if word]
    return "\n".join([*lines, f"constants = {{ {_shown(kept)} }}", f'source = "{SOURCE}"', f"checked = {CHECKED}", ""])


def _shown(values: dict[str, float]) -> str:
    return ", ".join(f"{name} = {value:.3g}" for name, value in values.items())
