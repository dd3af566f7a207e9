"""Low-rank adapters by peft: put beside the matrices of a model, which are then frozen, and merged into them at last.

peft's layers take the places of ours inside the very model, so that everything that runs a model runs an adapted one.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from deepwide.architecture.adapters import lora_parameters
from deepwide.architecture.ledger import lower
from deepwide.errors import BadInput
from deepwide.lab.network import Transformer
from deepwide.lab.network.feed_forward import Experts
from deepwide.lab.training.tensors import weights

STACKED = {"gate": "expert_gate", "up": "expert_up", "down": "expert_down"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """LoRA: y = x W + alpha / rank · x A B, where A [inputs, rank] and B [rank, outputs] alone are trained.

    targets           the matrices that get one, by the ledger's names: query, value, up, ...
    """

    rank: int
    alpha: float
    targets: tuple[str, ...]

    @property
    def pattern(self) -> str:
        """The modules that are adapted, as peft is told them: matrices of blocks, in no head of the same name."""
        return rf"(?:encoder|decoder)\.blocks\.\d+\.(?:\w+\.)+(?:{'|'.join(self.targets)})"


def adapt(model: Transformer, adapter: Adapter, seed: int) -> None:
    """Freezes a model and puts adapters beside its matrices; A is drawn at random, B is 0: nothing changes at first."""
    _refuse_stacked(model, adapter)
    for tensor in model.parameters():
        tensor.requires_grad_(False)
    with quiet_peft() as peft, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        peft.inject_adapter_in_model(config_of(adapter), model)
    expected = int(lora_parameters(lower(model.architecture), adapter.rank, adapter.targets))
    built = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if built != expected:
        raise BadInput(f"{model.architecture.name}: {built:,} parameters of adapters built, {expected:,} counted")


def adapter_names(model: nn.Module) -> frozenset[str]:
    """The names of what is trained of an adapted model."""
    return frozenset(name for name, tensor in weights(model).items() if "lora_" in name and tensor.is_floating_point())


@torch.no_grad()
def merge(model: Transformer) -> None:
    """Adds the adapters to the matrices that they stand beside, and takes them out: W + alpha / rank · A B."""
    from peft.tuners.lora import LoraLayer

    adapted = [(name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer)]
    for name, module in adapted:
        module.merge()
        path, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(path), leaf, module.get_base_layer())
    trained = {name: tensor.requires_grad for name, tensor in unadapted(model).named_parameters()}
    for name, tensor in model.named_parameters():
        tensor.requires_grad_(trained[name])


def unadapted(model: Transformer) -> Transformer:
    """The model as it is without adapters, on no device: names, shapes, and what would be trained of it."""
    with torch.device("meta"):
        return Transformer(model.architecture, model.numerics)


def deltas(model: nn.Module) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Each adapted module with its A [rank, inputs] and B [outputs, rank], as they lie in peft's files."""
    for name, tensor in weights(model).items():
        if name.endswith(".lora_A.default.weight"):
            path = name.removesuffix(".lora_A.default.weight")
            yield path, tensor, model.get_parameter(f"{path}.lora_B.default.weight").detach()


def config_of(adapter: Adapter, targets: str | list[str] | None = None) -> Any:
    """What peft is told."""
    with quiet_peft() as peft:
        return peft.LoraConfig(
            r=adapter.rank,
            lora_alpha=adapter.alpha,
            target_modules=adapter.pattern if targets is None else targets,
            lora_dropout=0.0,
            bias="none",
        )


@contextmanager
def quiet_peft() -> Iterator[Any]:
    """peft, imported without what the libraries that it tries along the way have to say of this machine."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import peft

            yield peft
    except ModuleNotFoundError as error:
        raise BadInput(f"adapters need {error.name}, which is not installed; `pip install peft`") from None
    finally:
        logging.disable(before)


def _refuse_stacked(model: Transformer, adapter: Adapter) -> None:
    """Experts' matrices lie in one tensor for all, beside which no adapter can be put."""
    stacked = any(isinstance(module, Experts) for module in model.modules())
    hit = [target for target in adapter.targets if stacked and target in STACKED]
    if hit:
        raise BadInput(f"targets={','.join(hit)}: experts' matrices are stacked in one tensor; give targets=attention")
