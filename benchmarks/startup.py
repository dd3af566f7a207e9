"""How fast a first answer comes: cold `deepwide` commands beside bare Python and transformers' meta device.

    python benchmarks/startup.py [--runs 15] [--skip-transformers]

All are timed in one run, in turn, so that the ratios hold on a noisy machine. Bytecode is there, as after any install:
deepwide is compiled first, since an editable install may not be. The last line times a count of a config that is
already read, inside one process.
"""

from __future__ import annotations

import argparse
import compileall
import json
import statistics
import subprocess
import sys
import tempfile
import time
import timeit
from pathlib import Path

import deepwide

LLAMA_2_7B = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}
META_DEVICE = """
import sys, torch
from transformers import AutoConfig, AutoModelForCausalLM
config = AutoConfig.from_pretrained(sys.argv[1])
with torch.device("meta"):
    model = AutoModelForCausalLM.from_config(config)
print(sum(p.numel() for p in model.parameters()))
"""
EXPECTED = 6_738_415_616


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--skip-transformers", action="store_true")
    given = parser.parse_args()
    compileall.compile_dir(Path(deepwide.__file__).parent, quiet=1)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(LLAMA_2_7B))
        report(commands(folder, given.skip_transformers), given.runs)
    in_process()


def commands(folder: str, skip_transformers: bool) -> dict[str, list[str]]:
    """What is timed: each a fresh process."""
    program = str(Path(sys.executable).parent / "deepwide")
    timed = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "deepwide --help": [program, "--help"],
        "deepwide count llama-2-7b": [program, "count", "llama-2-7b"],
        "deepwide count FOLDER": [program, "count", folder, "--json"],
    }
    if not skip_transformers:
        timed["transformers, meta device"] = [sys.executable, "-c", META_DEVICE, folder]
    return timed


def report(timed: dict[str, list[str]], runs: int) -> None:
    """Times the commands in turn and prints each beside bare Python and the count."""
    walls: dict[str, list[float]] = {name: [] for name in timed}
    for turn in range(runs):
        for name, command in timed.items():
            if name.startswith("transformers") and turn >= max(3, runs // 5):
                continue  # seconds each; a few suffice
            walls[name].append(wall_s(command))
    medians = {name: statistics.median(values) for name, values in walls.items()}
    for name, values in walls.items():
        print(
            f"{name:<28} median {1e3 * medians[name]:8.1f} ms   min {1e3 * min(values):8.1f} ms   ({len(values)} runs)"
        )
    if "transformers, meta device" in medians:
        ratio = medians["transformers, meta device"] / medians["deepwide count FOLDER"]
        print(f"the same config: deepwide is {ratio:.0f} times as fast as the meta device")


def wall_s(command: list[str]) -> float:
    """Wall time of one process, which must succeed."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def in_process() -> None:
    """A count of a config already read: config -> architecture -> ledger -> total."""
    from deepwide.architecture.ledger import lower
    from deepwide.formats.huggingface import read_config

    assert lower(read_config(LLAMA_2_7B)).parameters() == EXPECTED
    number, repeats = 300, 9
    times = timeit.repeat(lambda: lower(read_config(LLAMA_2_7B)).parameters(), number=number, repeat=repeats)
    per_count = [1e6 * t / number for t in times]
    print(
        f"{'in process, config read':<28} median {statistics.median(per_count):8.1f} us   min {min(per_count):8.1f} us"
    )


if __name__ == "__main__":
    main()
