"""What a file of weights says about itself, whatever its format: names, shapes and types, never the values.

`safetensors` and `gguf` each fill a Container from the first bytes of a file. Here is what they share: how a file
is opened without being read, how a damaged one is reported, and how many parameters a list of tensors holds.
"""

from __future__ import annotations

import mmap
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TypeAlias

from deepwide.errors import BadInput

Bytes: TypeAlias = bytes | mmap.mmap
Extent: TypeAlias = tuple[int, int, str]  # first byte, byte after the last, name

MAX_NAME = 256  # characters; the longest tensor names in use are about 130
MAX_DIMENSION = 2**48  # above every dimension in use, and small enough to multiply a few of them quickly
LFS_POINTER = b"version https://git-lfs"  # what a clone without Git LFS leaves in the place of a large file
SHOWN = 60  # characters of a value from outside that an error message repeats

# What frameworks store beside the weights and no gradient ever changes. By the last word of the name: tables of the
# rotary embedding, causal masks, position numbers, batch-norm statistics, the routing bias that DeepSeek-V3 moves by
# rule, and the scales, zero points and orders of quantised weights.
# fmt: off
NOT_PARAMETERS = frozenset((
    "inv_freq", "cos_cached", "sin_cached", "masked_bias", "position_ids", "token_type_ids",
    "relative_position_index", "running_mean", "running_var", "num_batches_tracked", "e_score_correction_bias",
    "weight_scale", "weight_scale_inv", "input_scale", "k_scale", "v_scale", "scales", "qzeros", "g_idx",
    "absmax", "nested_absmax", "quant_map", "nested_quant_map", "bitsandbytes__nf4", "bitsandbytes__fp4",
))
# fmt: on
# The same things where GGUF and gpt-oss name them otherwise.
NOT_PARAMETERS_ENDINGS = (
    "rope_freqs.weight",
    "rope_factors_long.weight",
    "rope_factors_short.weight",
    "exp_probs_b.bias",
    "_proj_scales",
)
MASKS = ("attn.bias", "attention.bias")  # a causal mask where it has 4 dimensions (GPT-2, GPT-J, GPT-NeoX), else a bias
PACKED = (".qweight", ".weight_packed", "_proj_blocks")  # GPTQ and AWQ, compressed-tensors, gpt-oss

# How the two ends of a language model are called, from the commonest name to the rarest.
# fmt: off
EMBEDDINGS = (
    "embed_tokens.weight", "wte.weight", "word_embeddings.weight", "tok_embeddings.weight", "token_embd.weight",
    "shared.weight", "embed_in.weight", "embeddings.weight", "embedding.weight",
)
HEADS = ("lm_head.weight", "embed_out.weight", "lm_head.decoder.weight", "predictions.decoder.weight")
# fmt: on
WHOLE_NAME_HEADS = ("output.weight", "head.weight")  # inside a layer these words mean something else


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredTensor:
    """One tensor of a file; the shape is in the order of PyTorch, the dtype in the words of the format."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    stored_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Container:
    """The tensors of a file, or of all its shards. `kind` is "safetensors" or "gguf"."""

    path: str
    tensors: tuple[StoredTensor, ...]
    metadata: Mapping[str, object]
    kind: str


def is_parameter(tensor: StoredTensor) -> bool:
    """Whether a tensor is learned, judged by its name and rank."""
    if tensor.name.rpartition(".")[2] in NOT_PARAMETERS or tensor.name.endswith(NOT_PARAMETERS_ENDINGS):
        return False
    return not (len(tensor.shape) == 4 and tensor.name.endswith(MASKS))


def parameters(container: Container) -> int:
    """Learned numbers in a file: the sum over its tensors of the product of the shape.

    A head that is tied to the embedding and yet stored counts twice, since shapes cannot tell: `embedding_and_head`.
    Packed weights count as the words that hold them, 4-bit ones in 32-bit words as an eighth: `packed`.
    """
    return sum(prod(tensor.shape) for tensor in container.tensors if is_parameter(tensor))


def packed(container: Container) -> tuple[str, ...]:
    """Names of the tensors that hold several weights in each stored number, so that `parameters` undercounts."""
    names = {tensor.name for tensor in container.tensors}
    return tuple(name for name in names if name.endswith(PACKED) or f"{name}.absmax" in names)


def embedding_and_head(container: Container) -> tuple[StoredTensor | None, StoredTensor | None]:
    """The token embedding and the output head, each None where the file has none.

    A missing head means a tied one; two of equal shape may be one tied matrix stored twice.
    """
    matrices = [tensor for tensor in container.tensors if len(tensor.shape) == 2]
    whole = next((tensor for tensor in matrices if tensor.name in WHOLE_NAME_HEADS), None)
    return _first(matrices, EMBEDDINGS), _first(matrices, HEADS) or whole


def _first(tensors: list[StoredTensor], endings: tuple[str, ...]) -> StoredTensor | None:
    """The first tensor whose last words are those of an ending, earlier endings first."""
    found = (t for ending in endings for t in tensors if f".{t.name}".endswith(f".{ending}"))
    return next(found, None)


@contextmanager
def opened(path: str | Path, most_bytes: int) -> Iterator[tuple[Bytes, int]]:
    """The first `most_bytes` of a file, mapped and not read, with the size of the whole file."""
    path = Path(path)
    try:
        size_bytes = path.stat().st_size
        file = path.open("rb") if path.is_file() else None  # opening a pipe would wait for ever
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise damaged(path, f"cannot be read ({reason})", "check the path and its permissions") from None
    if file is None:
        raise damaged(path, "is not a file", "give a .safetensors file, its .index.json, or a .gguf file")
    with file:
        if not size_bytes:
            raise damaged(path, "is empty, 0 bytes")
        with mmap.mmap(file.fileno(), min(size_bytes, most_bytes), access=mmap.ACCESS_READ) as data:
            if data[: len(LFS_POINTER)] == LFS_POINTER:
                raise damaged(path, "is a Git LFS pointer, not the file itself", "run git lfs pull")
            yield data, size_bytes


def damaged(
    path: str | Path, problem: str, way_out: str = "the file is damaged or incomplete, fetch it again"
) -> BadInput:
    """The error for a file that cannot be used, on one line whatever the file's name holds."""
    return BadInput(f"{shown(Path(path).name)}: {problem}; {way_out}")


def shown(value: object) -> str:
    """A value from outside, short and printable, for an error message."""
    text = value if isinstance(value, str) else reprlib.repr(value)
    text = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
    return text if text.isprintable() else ascii(text)[1:-1]


def check_names(path: str | Path, names: Iterable[str]) -> None:
    """Refuse the name of a tensor or a key that is empty, overlong or cannot be printed."""
    for name in names:
        if not (0 < len(name) <= MAX_NAME and name.isprintable()):
            raise damaged(path, f"name '{shown(name)}' must be 1 to {MAX_NAME} printable characters")


def check_extents(path: str | Path, extents: Iterable[Extent], end_bytes: int) -> None:
    """Refuse tensors that share bytes, or that lie past the end of the data."""
    last, owner = 0, ""
    for begin, end, name in sorted(extents):
        if begin < last:
            raise damaged(path, f"tensors '{shown(owner)}' and '{shown(name)}' overlap at byte {begin} of the data")
        if end > end_bytes:
            raise damaged(path, f"tensor '{shown(name)}' ends at byte {end} of the data, which has {end_bytes} bytes")
        last, owner = end, name
