"""The exact fallback: build the model with transformers on the meta device, where tensors have shapes but no memory.

Needs transformers and torch; takes seconds where a rule takes microseconds. Remote code is never run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepwide.errors import BadInput
from deepwide.formats.tensors import Container, StoredTensor

CLASSES = ("AutoModelForCausalLM", "AutoModelForMaskedLM", "AutoModelForSeq2SeqLM", "AutoModel")


def instantiated(config: Mapping[str, Any], where: str) -> Container:
    """The parameters that transformers' own class makes of a config; a tied tensor once."""
    try:
        import torch
        import transformers
    except ImportError:
        raise BadInput("--instantiate needs transformers and torch: pip install 'deepwide[lab]'") from None
    settings = _settings(transformers, config, where)
    reason = "no class for it"
    for name in _classes(config):
        maker = getattr(transformers, name, None)
        if maker is None:
            continue
        try:
            with torch.device("meta"):
                model = maker.from_config(settings) if name.startswith("Auto") else maker(settings)
        except Exception as error:  # any failure of foreign code only means that this class does not fit
            reason = f"{type(error).__name__}: {error}"
            continue
        return _container(model, where)
    raise BadInput(f"{where}: transformers cannot build it ({' '.join(reason.split())[:200]})")


def _classes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The class the config names, then the generic ones."""
    named = config.get("architectures")
    return (*(n for n in named if isinstance(n, str)), *CLASSES) if isinstance(named, list) else CLASSES


def _settings(transformers: Any, config: Mapping[str, Any], where: str) -> Any:
    """The configuration object; a field of the wrong type is the file's fault."""
    fields = dict(config)
    model_type = fields.pop("model_type", "")
    try:
        return transformers.AutoConfig.for_model(model_type, **fields)
    except Exception as error:  # foreign validation raises many kinds
        raise BadInput(f"{where}: transformers refuses it ({' '.join(str(error).split())[:200]})") from None


def _container(model: Any, where: str) -> Container:
    tensors = tuple(
        StoredTensor(name=name, shape=tuple(p.shape), dtype=str(p.dtype), stored_bytes=p.numel() * p.element_size())
        for name, p in model.named_parameters()
    )
    return Container(path=where, tensors=tensors, metadata={}, kind="instantiated")
