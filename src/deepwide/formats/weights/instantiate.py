"""The exact fallback: build the model with transformers on the meta device, where tensors have shapes but no memory.

Needs transformers and torch; takes seconds where a rule takes microseconds. The config comes from outside, so the
model is built in a process of its own, with a limit on time and memory, without the network and without remote code:
only classes that transformers itself holds as models are called.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from deepwide.errors import BadInput
from deepwide.formats.weights.tensors import SHOWN, Container, StoredTensor, shown

PROGRAM = "from deepwide.formats.weights.instantiate import answer; answer()"
CLASSES = ("AutoModelForCausalLM", "AutoModelForMaskedLM", "AutoModelForSeq2SeqLM", "AutoModel")
LONGEST_S = 120  # the largest published models take below a minute, imports included
REPEATED = re.compile(r"(layers?|experts|blocks)$|^depth$")  # fields that say how often something is made
MOST_REPEATED = 20_000  # above every published model, and made in half a minute
MOST_BYTES = 8 * 2**30  # of a process that holds no weights; importing torch takes about 1 GB
MOST_SAID = 3 * SHOWN  # characters of foreign error messages that are repeated
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}


def instantiated(config: Mapping[str, Any], where: str) -> Container:
    """The parameters that transformers' own class makes of a config; a tied tensor once."""
    _check_repeats(config, where)
    environment = {**os.environ, **OFFLINE, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            input=json.dumps(config),
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        raise BadInput(f"{where}: transformers did not build it within {LONGEST_S} s") from None
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        said = " ".join(done.stderr.split())[-MOST_SAID:]
        raise BadInput(f"{where}: building it with transformers ended with code {done.returncode} ({shown(said)})")
    built = json.loads(lines[-1])
    if "error" in built:
        raise BadInput(f"{where}: {built['error']}")
    tensors = tuple(
        StoredTensor(name=name, shape=tuple(shape), dtype=dtype, stored_bytes=stored_bytes)
        for name, shape, dtype, stored_bytes in built["tensors"]
    )
    return Container(path=where, tensors=tensors, metadata={"class": built["class"]}, kind="instantiated")


def _check_repeats(config: Mapping[str, Any], where: str) -> None:
    """Refuse at once what would be made for ever."""
    for field, value in config.items():
        if isinstance(value, int) and value > MOST_REPEATED and REPEATED.search(field):
            raise BadInput(f"{where}: {shown(field)}={shown(value)} is over our limit of {MOST_REPEATED}")
        if isinstance(value, Mapping):
            _check_repeats(value, where)


def answer() -> None:
    """The work of the other process: reads a config from its input and prints one line of JSON about it."""
    _limit_memory()
    printed, sys.stdout = sys.stdout, sys.stderr  # whatever foreign code prints is not the answer
    try:
        built: dict[str, Any] = _built(json.load(sys.stdin))
    except BadInput as error:
        built = {"error": str(error)}
    print(json.dumps(built), file=printed)


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows has none
        return
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _built(config: Mapping[str, Any]) -> dict[str, Any]:
    """The class that could be built and its parameters: the one that the config names, else a generic one."""
    try:
        import torch
        import transformers
    except ImportError:
        raise BadInput("--instantiate needs transformers and torch: pip install 'deepwide[lab]'") from None
    settings = _settings(transformers, config)
    reason = "it has no class for it"
    for maker in _makers(transformers, config):
        try:
            with torch.device("meta"):
                model = maker(settings)
        except Exception as error:  # any failure of foreign code only means that this class does not fit
            reason = _said(error)
            continue
        return {"class": type(model).__name__, "tensors": [_tensor(n, p) for n, p in model.named_parameters()]}
    raise BadInput(f"transformers cannot build it: {reason}")


def _makers(transformers: Any, config: Mapping[str, Any]) -> Iterator[Any]:
    """What makes a model of settings: the classes that the config names, if they are models, then the generic ones."""
    named = config.get("architectures")
    for name in named if isinstance(named, list) else ():
        maker = getattr(transformers, name, None) if isinstance(name, str) else None
        if isinstance(maker, type) and issubclass(maker, transformers.PreTrainedModel):
            yield maker
    for name in CLASSES:
        yield getattr(transformers, name).from_config


def _settings(transformers: Any, config: Mapping[str, Any]) -> Any:
    """The configuration object; a field of the wrong type is the file's fault."""
    fields = dict(config)
    model_type = fields.pop("model_type", None)
    if not isinstance(model_type, str) or model_type not in transformers.CONFIG_MAPPING:
        raise BadInput(f"model_type={shown(model_type)} is none that transformers {transformers.__version__} knows")
    try:
        return transformers.AutoConfig.for_model(model_type, **fields)
    except Exception as error:  # foreign validation raises many kinds
        raise BadInput(f"transformers refuses it: {_said(error)}") from None


def _said(error: Exception) -> str:
    """The kind of a foreign error and the beginning of its message, on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:MOST_SAID]}" if text else type(error).__name__


def _tensor(name: str, parameter: Any) -> tuple[str, list[int], str, int]:
    size_bytes = parameter.numel() * parameter.element_size()
    return name, list(parameter.shape), str(parameter.dtype).removeprefix("torch."), size_bytes
