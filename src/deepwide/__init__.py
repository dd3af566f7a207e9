"""deepwide: deep or wide? Transformer shapes taken apart, priced and compared, with numbers that can be checked.

`import deepwide as dw` offers every question as a function, loaded on first use:

    dw.count("llama-3-8b").total
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what a type checker and an editor see; nothing is loaded
    from deepwide.answers.calibrate import calibrate_inference, calibrate_training
    from deepwide.answers.calibrate.loss import calibrate_loss
    from deepwide.answers.calibrate.machine import calibrate_machine
    from deepwide.answers.catalogue import models
    from deepwide.answers.compare import compare
    from deepwide.answers.count import count
    from deepwide.answers.design import design
    from deepwide.answers.distill import distill
    from deepwide.answers.explain import explain
    from deepwide.answers.export import export
    from deepwide.answers.finetune import finetune
    from deepwide.answers.generate import generate
    from deepwide.answers.inference import predict_inference
    from deepwide.answers.loss import predict_loss
    from deepwide.answers.memory import memory
    from deepwide.answers.models import find_model
    from deepwide.answers.probe.attention import probe_attention
    from deepwide.answers.probe.gradients import probe_gradients
    from deepwide.answers.probe.memories import probe_memories
    from deepwide.answers.probe.ntk import probe_ntk
    from deepwide.answers.probe.rank import probe_rank
    from deepwide.answers.prune import prune
    from deepwide.answers.quantize import quantize
    from deepwide.answers.runs import compare_runs, export_runs, run, runs
    from deepwide.answers.sweep import resume_sweep, sweep
    from deepwide.answers.train import resume, train
    from deepwide.answers.training import predict_training
    from deepwide.claims.book import claims

QUESTIONS = {
    "count": "deepwide.answers.count",
    "memory": "deepwide.answers.memory",
    "compare": "deepwide.answers.compare",
    "design": "deepwide.answers.design",
    "explain": "deepwide.answers.explain",
    "claims": "deepwide.claims.book",
    "models": "deepwide.answers.catalogue",
    "find_model": "deepwide.answers.models",
    "predict_inference": "deepwide.answers.inference",
    "predict_training": "deepwide.answers.training",
    "predict_loss": "deepwide.answers.loss",
    "calibrate_training": "deepwide.answers.calibrate",
    "calibrate_inference": "deepwide.answers.calibrate",
    "calibrate_loss": "deepwide.answers.calibrate.loss",
    "calibrate_machine": "deepwide.answers.calibrate.machine",
    "train": "deepwide.answers.train",
    "resume": "deepwide.answers.train",
    "finetune": "deepwide.answers.finetune",
    "distill": "deepwide.answers.distill",
    "sweep": "deepwide.answers.sweep",
    "resume_sweep": "deepwide.answers.sweep",
    "generate": "deepwide.answers.generate",
    "quantize": "deepwide.answers.quantize",
    "prune": "deepwide.answers.prune",
    "probe_attention": "deepwide.answers.probe.attention",
    "probe_gradients": "deepwide.answers.probe.gradients",
    "probe_memories": "deepwide.answers.probe.memories",
    "probe_ntk": "deepwide.answers.probe.ntk",
    "probe_rank": "deepwide.answers.probe.rank",
    "export": "deepwide.answers.export",
    "runs": "deepwide.answers.runs",
    "run": "deepwide.answers.runs",
    "compare_runs": "deepwide.answers.runs",
    "export_runs": "deepwide.answers.runs",
}
__all__ = [
    "calibrate_inference",
    "calibrate_loss",
    "calibrate_machine",
    "calibrate_training",
    "claims",
    "compare",
    "compare_runs",
    "count",
    "design",
    "distill",
    "explain",
    "export",
    "export_runs",
    "find_model",
    "finetune",
    "generate",
    "memory",
    "models",
    "predict_inference",
    "predict_loss",
    "predict_training",
    "probe_attention",
    "probe_gradients",
    "probe_memories",
    "probe_ntk",
    "probe_rank",
    "prune",
    "quantize",
    "resume",
    "resume_sweep",
    "run",
    "runs",
    "sweep",
    "train",
]


def __dir__() -> list[str]:
    """The questions, so that an editor can complete them."""
    return __all__


class Package(ModuleType):
    """This package: importing the room that has the name of a question (`design`) does not put it in its place."""

    def __setattr__(self, name: str, value: object) -> None:
        if name not in QUESTIONS or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = Package


def __getattr__(name: str) -> Any:
    """A question, imported when it is first asked."""
    if name not in QUESTIONS:
        raise AttributeError(f"deepwide has no question called {name!r}")
    return getattr(import_module(QUESTIONS[name]), name)
