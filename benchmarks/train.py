"""Tokens a second of the lab's training loop beside Hugging Face's Trainer: one model, one text, one run.

    python benchmarks/train.py [--rounds 5] [--steps 40] [--tokens 500000] [--no-compile]

Both train the same Llama from the same weights on the same windows of the standard library's source, with AdamW, the
same schedule and clipping. Each way takes its turn, round after round, so that a busy moment hits all alike; a way's
time is the median of its steps. Beside them stand a step's products of activations and weights, with nothing between
them: what any program that calls them takes at least. Then the quickest of either trains on, and the losses after the
same tokens are told.
Last, a wide model shows the share of this processor's own rate of matrix products, measured in the same run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
import transformers

from deepwide.answers.models import find_model
from deepwide.answers.train.predicted import expected
from deepwide.lab.data import Corpus, batch, prepare, validation_batches
from deepwide.lab.huggingface import read, write
from deepwide.lab.kernels import Kernels, apply, computing, probed
from deepwide.lab.lanes import Lanes
from deepwide.lab.machine import speeds
from deepwide.lab.network import Transformer, build
from deepwide.lab.network.attend import KERNELS
from deepwide.lab.store.environment import cores
from deepwide.lab.training import Alone, Recipe, mean_loss, next_token
from deepwide.lab.training import train as loop

SHAPE = "like=llama,layers=4,hidden=128,heads=4,ffn=344,vocab=256"
WIDE = "like=llama,layers=4,hidden=1024,heads=16,ffn=2816,vocab=256"
CONTEXT, BATCH = 64, 12
WARM = 5  # steps of each turn that are not timed
RATE = 4e-3
ALONE = "products alone"


def recipe(steps: int) -> Recipe:
    """AdamW as both programs have it."""
    return Recipe(
        steps=steps,
        batch=BATCH,
        context=CONTEXT,
        optimizer="adamw",
        learning_rate=RATE,
        evaluate_every=0,
    )


def ours(kernels: Kernels, corpus: Corpus, steps: int, seed: int = 0) -> tuple[list[float], float]:
    """Seconds of each step after the first few, and the validation loss at the end."""
    model = fresh(seed)
    apply(kernels, model)
    asked, ends = recipe(steps), []
    with computing(kernels):
        loop(
            model,
            asked,
            batches=lambda step: next_token(windows(corpus, step)),
            report=lambda row: ends.append(time.perf_counter()),
            worker=Alone(model, asked, Lanes(kernels.lanes, kernels.threads)),
        )
    return list(np.diff(ends)[WARM:]), validation_loss(model, corpus)


def theirs(attention: str, bf16: bool, compiled: bool, corpus: Corpus, steps: int) -> tuple[list[float], float]:
    """The same by Trainer."""
    ends: list[float] = []
    rows = np.concatenate([windows(corpus, step) for step in range(steps)])
    torch.set_num_threads(cores())
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write(fresh(0), Path(folder) / "model")
        model = transformers.LlamaForCausalLM.from_pretrained(
            Path(folder) / "model", attn_implementation=attention, dtype=torch.float32
        )
        model.config.use_cache = False
        trainer = InOrder(
            model=model,
            args=arguments(folder, bf16, compiled, steps),
            train_dataset=Windows(rows),
            callbacks=[Clock(ends)],
        )
        trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
        trainer.train()
        model.save_pretrained(Path(folder) / "trained")
        back = read(Path(folder) / "trained")
    return list(np.diff(ends)[WARM:]), validation_loss(back, corpus)


def arguments(folder: str, bf16: bool, compiled: bool, steps: int) -> transformers.TrainingArguments:
    """Trainer's own way of saying what `recipe` says."""
    asked = recipe(steps)
    return transformers.TrainingArguments(
        output_dir=folder,
        max_steps=steps,
        per_device_train_batch_size=BATCH,
        learning_rate=asked.base_rate,
        weight_decay=asked.weight_decay,
        adam_beta1=asked.betas[0],
        adam_beta2=asked.betas[1],
        max_grad_norm=asked.clip,
        warmup_steps=round(asked.warmup_share * steps),
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": asked.minimum_share},
        optim="adamw_torch_fused",
        bf16=bf16,
        torch_compile=compiled,
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        remove_unused_columns=False,
        disable_tqdm=True,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
    )


class Windows(torch.utils.data.Dataset):
    """The windows of all steps, in order."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = torch.from_numpy(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.rows[i, :-1], "labels": self.rows[i, :-1], "shift_labels": self.rows[i, 1:]}


class InOrder(transformers.Trainer):
    """Trainer that takes the windows as they stand."""

    def _get_train_sampler(self, *_: object) -> torch.utils.data.Sampler:
        return torch.utils.data.SequentialSampler(self.train_dataset)


class Clock(transformers.TrainerCallback):
    """When each step ended."""

    def __init__(self, ends: list[float]) -> None:
        self.ends = ends

    def on_step_end(self, *_: object, **__: object) -> None:
        self.ends.append(time.perf_counter())


def fresh(seed: int) -> Transformer:
    return build(find_model(SHAPE).described(), seed=seed)


def windows(corpus: Corpus, step: int) -> np.ndarray:
    return batch(corpus.train, context=CONTEXT, batch=BATCH, seed=0, step=step)


def validation_loss(model: Transformer, corpus: Corpus) -> float:
    rows = validation_batches(corpus.validation, context=CONTEXT, batch=64, limit=20)
    return mean_loss(model, (next_token(r) for r in rows), torch.device("cpu"))


def products(steps: int) -> tuple[list[float], float]:
    """Seconds of a step's products with the weights alone, forward and backward, on all cores; it learns nothing."""
    rows = BATCH * CONTEXT
    sizes = [(op.k, op.n) for op in find_model(SHAPE).ledger.ops if op.kind == "matmul" for _ in range(op.repeat)]
    held = [(torch.randn(rows, k), torch.randn(n, k), torch.randn(rows, n)) for k, n in sizes]
    ends: list[float] = []
    with computing(Kernels(threads=cores())), torch.inference_mode():
        for _ in range(steps):
            for x_RK, weight_NK, dy_RN in held:
                _ = x_RK @ weight_NK.T, dy_RN @ weight_NK, dy_RN.T @ x_RK
            ends.append(time.perf_counter())
    return list(np.diff(ends)[WARM:]), float("nan")


def ways(corpus: Corpus, compiled: bool) -> dict[str, Callable[[int], tuple[list[float], float]]]:
    """Every setting of either program that takes part."""
    chosen = probed(fresh(0), BATCH, CONTEXT)
    own = {f"deepwide {told(chosen)}": chosen}
    for attention, (lanes, threads) in product(KERNELS, ((1, cores()), (cores(), 1))) if compiled else ():
        way = replace(chosen, compile=True, attention=attention, lanes=lanes, threads=threads)
        own[f"deepwide {told(way)}"] = way
    found = {name: (lambda steps, k=k: ours(k, corpus, steps)) for name, k in own.items()}
    for compiles, attention, bf16 in product((False, True) if compiled else (False,), ("sdpa", "eager"), (False, True)):
        name = f"Trainer {'bf16' if bf16 else 'fp32'} {attention}{' compiled' if compiles else ''}"
        found[name] = lambda steps, a=attention, b=bf16, c=compiles: theirs(a, b, c, corpus, steps)
    return found | {ALONE: products}


def told(k: Kernels) -> str:
    return f"{k.dtype} {k.matmul} {k.attention} {k.lanes}x{k.threads} threads{' compiled' if k.compile else ''}"


def race(found: dict[str, Callable[[int], tuple[list[float], float]]], rounds: int, steps: int) -> dict[str, float]:
    """Tokens a second of each way."""
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for i in range(rounds):
        for name, run in found.items():
            seconds[name] += run(steps)[0]
        print(f"round {i + 1} of {rounds}", flush=True)
    speeds = {name: BATCH * CONTEXT / statistics.median(s) for name, s in seconds.items()}
    for name, speed in sorted(speeds.items(), key=lambda pair: -pair[1]):
        print(f"  {name:<52} {speed:>9,.0f} tokens/s   {1e3 * BATCH * CONTEXT / speed:6.1f} ms a step")
    return speeds


def wide(steps: int = 6, context: int = 256, size: int = 8) -> None:
    """The share of the processor's own rate that a model of wide matrices reaches, by the lab's loop."""
    found = find_model(WIDE)
    model = build(found.described())
    kernels = probed(model, size, context)
    apply(kernels, model)
    asked = Recipe(steps=steps, batch=size, context=context, optimizer="adamw", evaluate_every=0)
    rows = torch.randint(0, 256, (size, context + 1), generator=torch.Generator().manual_seed(0))
    ends: list[float] = []
    with computing(kernels):
        worker = Alone(model, asked, Lanes(kernels.lanes, kernels.threads))
        before = speeds(kernels)
        loop(
            model,
            asked,
            batches=lambda step: next_token(rows),
            report=lambda row: ends.append(time.perf_counter()),
            worker=worker,
        )
        after = speeds(kernels)
    peak = max(before.flops_per_s, after.flops_per_s)
    hoped = expected(found, asked, kernels, replace(before, flops_per_s=peak))
    speed = size * context / statistics.median(np.diff(ends)[1:])
    print(f"{WIDE}, batch {size} of {context}: {told(kernels)}")
    print(
        f"  {speed:,.0f} tokens/s, {hoped.mfu_at(speed):.0%} of the {peak / 1e9:,.0f} GFLOP/s of a large product here"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--tokens", type=int, default=500_000)
    parser.add_argument("--no-compile", action="store_true", help="leave out what needs a C++ compiler, of both")
    asked = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    corpus = prepare(folder=Path(tempfile.gettempdir()) / "deepwide-benchmark")
    print(f"{SHAPE}, batch {BATCH} of {CONTEXT}; {cores()} cores, torch {torch.__version__}")
    found = ways(corpus, not asked.no_compile)
    reached = race(found, asked.rounds, asked.steps + WARM)
    best = {
        who: max((n for n in reached if n.startswith(who)), key=lambda n: reached[n]) for who in ("deepwide", "Trainer")
    }
    most = reached[best["Trainer"]]
    print(
        f"ratio of the best: {reached[best['deepwide']] / most:.2f}; of the products alone: {reached[ALONE] / most:.2f}"
    )
    steps = asked.tokens // (BATCH * CONTEXT)
    for name in best.values():
        print(
            f"  {name}: validation loss {found[name](steps)[1]:.4f} after {steps * BATCH * CONTEXT:,} tokens",
            flush=True,
        )
    wide()


if __name__ == "__main__":
    main()
