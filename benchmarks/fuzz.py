"""Does any damaged file or config do harm? Feeds the readers with generated input and checks what they make of it.

    python benchmarks/fuzz.py --inputs 100000 [--seed 0] [--only safetensors|gguf|config] [--first N]

Every input starts as a valid file and is then cut, spliced, flipped, or made to lie about a length. A reader may
return or raise BadInput with one line of text, within a second of processor time and 64 MB of memory (measured on
every fiftieth input). Whatever else happens is printed with what reproduces it, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import signal
import struct
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any, NoReturn

from deepwide.errors import BadInput
from deepwide.formats.weights import gguf, gguf_config, safetensors, tensors

MOST_SECONDS = 1.0
MOST_BYTES = 64 * 10**6
MOST_MESSAGE = 600  # characters: what still counts as one line
MEASURED = 50  # memory is measured on one input in so many, since measuring slows it down
SHOWN_FAILURES = 10

NUMBERS = (0, 1, -1, 2, 3, 7, 2**31, 2**32 - 1, 2**53, 2**63, 2**64 - 1, 10**30, 10**400, 0.5, -0.0, 1e308)
WORDS = ("", "abc", "F32", "gelu", "../x.safetensors", "/etc/passwd", "a\nb", "\x00", "\ud800", "é" * 40, "x" * 9999)
ODD: tuple[Any, ...] = (*NUMBERS, *WORDS, float("nan"), float("inf"), True, False, None, [], {}, [[[]]], {"a": {}})
LONG: tuple[Any, ...] = ([1] * 5000, [0.5] * 5000, ["full_attention"] * 3000, {str(n): n for n in range(2000)})
TEXT = (
    b"[" * 5000,
    b'{"a":' * 5000,
    b"9" * 5000,
    b"NaN",
    b"-1",
    b"1e999",
    b"null",
    b'"',
    b"}",
    b",",
    b"\\ud800",
    b"\xff",
)
LENGTHS = (0, 1, 8, 255, 2**16, 2**24, 2**31 - 1, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 8, 2**64 - 1)


# Valid files, small enough that a mutation hits something.


def safetensors_file() -> bytes:
    """Four tensors of four types."""
    shapes = {"a.weight": ("F32", [4, 4], 64), "b.weight": ("BF16", [8], 16), "c": ("F4", [4], 2), "d": ("I64", [0], 0)}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (dtype, shape, size_bytes) in shapes.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size_bytes]}
        at += size_bytes
    return _framed(json.dumps(header).encode(), at)


def _framed(header: bytes, data_bytes: int) -> bytes:
    return struct.pack("<Q", len(header)) + header + bytes(data_bytes)


def index_file() -> bytes:
    """An index of two shards, both of them beside it."""
    names = {"a.weight": 1, "b.weight": 1, "c": 2, "d": 2}
    shards = {name: f"model-0000{shard}-of-00002.safetensors" for name, shard in names.items()}
    return json.dumps({"metadata": {"total_size": 82}, "weight_map": shards}).encode()


def gguf_file(version: int) -> bytes:
    """A few keys of every kind of value and three tensors."""
    count = "<I" if version == 1 else "<Q"

    def text(value: str) -> bytes:
        return struct.pack(count, len(value)) + value.encode()

    def pair(key: str, kind: int, value: bytes) -> bytes:
        return text(key) + struct.pack("<I", kind) + value

    def tensor(name: str, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
        sizes = b"".join(struct.pack(count, size) for size in shape)
        return text(name) + struct.pack("<I", len(shape)) + sizes + struct.pack("<IQ", kind, offset)

    words = struct.pack("<I", 8) + struct.pack(count, 3) + text("a") + text("bc") + text("")
    pairs = [
        pair("general.architecture", 8, text("llama")),
        pair("general.alignment", 4, struct.pack("<I", 32)),
        *(pair(f"llama.{key}", 4, struct.pack("<I", 64)) for key in ("block_count", "embedding_length")),
        pair("llama.attention.head_count", 9, struct.pack("<I", 5) + struct.pack(count, 2) + struct.pack("<ii", 4, 4)),
        pair("llama.rope.freq_base", 6, struct.pack("<f", 1e4)),
        pair("tokenizer.ggml.tokens", 9, words),
        pair("nested", 9, struct.pack("<I", 9) + struct.pack(count, 2) + words + words),
        *(
            pair(f"k{kind}", kind, bytes(width))
            for kind, width in {0: 1, 1: 1, 2: 2, 3: 2, 7: 1, 10: 8, 11: 8, 12: 8}.items()
        ),
    ]
    places = [tensor("token_embd.weight", (32, 3), 0, 0), tensor("a", (64, 2), 2, 384), tensor("b", (), 1, 480)]
    counts = struct.pack(count, len(places)) + struct.pack(count, len(pairs))
    head = b"GGUF" + struct.pack("<I", version) + counts + b"".join(pairs) + b"".join(places)
    return head + bytes(-len(head) % 32 + 482)


SMALL = {
    "vocab_size": 100,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16, "n_routed_experts": 4, "n_shared_experts": 1}
LATENT = {"q_lora_rank": 8, "kv_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8}
CONFIGS: tuple[dict[str, Any], ...] = (
    {"model_type": "llama", **SMALL, "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-6},
    {"model_type": "gpt2", "vocab_size": 100, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    {
        "model_type": "bert",
        **SMALL,
        "max_position_embeddings": 64,
        "type_vocab_size": 2,
        "architectures": ["BertModel"],
    },
    {"model_type": "t5", "vocab_size": 100, "d_model": 32, "d_ff": 64, "d_kv": 8, "num_layers": 2, "num_heads": 4},
    {"model_type": "mixtral", **SMALL, "num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2},
    {"model_type": "deepseek_v3", **SMALL, **EXPERTS, **LATENT, "first_k_dense_replace": 1, "n_group": 2},
    {"model_type": "mamba", "vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, "expand": 2},
    {"model_type": "gemma3_text", **SMALL, "head_dim": 8, "layer_types": ["full_attention", "sliding_attention"]},
)


# Damage.


def damaged_bytes(random: Random, samples: list[bytes]) -> bytes:
    """A valid file after one to four mutations of its bytes."""
    data = bytearray(random.choice(samples))
    for _ in range(random.randint(1, 4)):
        random.choice(BYTE_MUTATIONS)(random, data, samples)
    return bytes(data)


def _flip(random: Random, data: bytearray, samples: list[bytes]) -> None:
    for _ in range(random.randint(1, 8) if data else 0):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _truncate(random: Random, data: bytearray, samples: list[bytes]) -> None:
    del data[random.randint(0, len(data)) :]


def _splice(random: Random, data: bytearray, samples: list[bytes]) -> None:
    other = random.choice(samples)
    begin = random.randint(0, len(other))
    at = random.randint(0, len(data))
    data[at : at + random.randint(0, 64)] = other[begin : begin + random.randint(0, 256)]


def _lie(random: Random, data: bytearray, samples: list[bytes]) -> None:
    """A length or a count is replaced, at the places where headers keep theirs or anywhere."""
    layout = random.choice(("<I", "<Q"))
    at = random.choice((0, 4, 8, 16, random.randint(0, max(0, len(data) - 8))))
    value = random.choice((random.choice(LENGTHS), random.getrandbits(64), len(data)))
    data[at : at + struct.calcsize(layout)] = struct.pack(layout, value & (2**32 - 1 if layout == "<I" else 2**64 - 1))


def _repeat(random: Random, data: bytearray, samples: list[bytes]) -> None:
    at = random.randint(0, len(data))
    piece = bytes(data[at : at + random.randint(1, 64)])
    data[at:at] = piece * random.choice((1, 2, 50, 2000))


def _insert_text(random: Random, data: bytearray, samples: list[bytes]) -> None:
    at = random.randint(0, len(data))
    data[at:at] = random.choice(TEXT)


BYTE_MUTATIONS = (_flip, _truncate, _splice, _lie, _repeat, _insert_text)


def damaged_tree(random: Random, samples: list[Any]) -> Any:
    """A JSON value with one to five of its places replaced, removed, renamed or swapped with another sample's."""
    tree = deepcopy(random.choice(samples))
    for _ in range(random.randint(1, 5)):
        _damage_place(random, tree, samples)
    return tree


def _damage_place(random: Random, tree: Any, samples: list[Any]) -> None:
    """Walks down a random way and changes what is there."""
    while isinstance(tree, dict | list) and tree:
        key = random.choice(list(tree)) if isinstance(tree, dict) else random.randrange(len(tree))
        if isinstance(tree[key], dict | list) and tree[key] and random.random() < 0.7:
            tree = tree[key]
            continue
        choice = random.random()
        if choice < 0.15:
            del tree[key]
        elif choice < 0.25 and isinstance(tree, dict):
            tree[random.choice(WORDS)] = tree.pop(key)
        elif choice < 0.40 and isinstance(tree, dict):
            other = random.choice(samples)
            tree.update(random.sample(list(deepcopy(other).items()), min(2, len(other))))
        else:
            tree[key] = deepcopy(random.choice(LONG if choice > 0.98 else ODD))
        return


# What is fed, and how it is judged.


def damaged_safetensors(random: Random) -> tuple[str, bytes]:
    """A file or an index, damaged as bytes or, so that it stays JSON, as a tree."""
    kind = "index" if random.random() < 0.1 else "file"
    valid = index_file() if kind == "index" else safetensors_file()
    if random.random() < 0.5:
        return kind, damaged_bytes(random, [valid, index_file(), safetensors_file()])
    text = json.dumps(damaged_tree(random, [json.loads(valid if kind == "index" else valid[8:-82])])).encode()
    return kind, text if kind == "index" else _framed(text, 82)


def read_safetensors(given: tuple[str, bytes], folder: Path) -> None:
    """Files from memory; an index from a folder that has its shards."""
    kind, data = given
    if kind == "file":
        _asked(safetensors.parse(data, len(data)))
        return
    for shard in (1, 2):
        (folder / f"model-0000{shard}-of-00002.safetensors").write_bytes(safetensors_file())
    path = folder / "model.safetensors.index.json"
    path.write_bytes(data)
    _asked(safetensors.read(path))


def damaged_gguf(random: Random) -> bytes:
    """A file of any version."""
    return damaged_bytes(random, [gguf_file(3), gguf_file(2), gguf_file(1)])


def read_gguf(given: bytes, folder: Path) -> None:
    """From memory, and through to the dimensions that the metadata give."""
    container = gguf.parse(given, len(given))
    _asked(container)
    gguf_config.as_config(container)


def _asked(container: tensors.Container) -> None:
    tensors.parameters(container)
    tensors.packed(container)
    tensors.embedding_and_head(container)


def damaged_config(random: Random) -> Any:
    """A config of some family with fields of other families and other worlds."""
    return damaged_tree(random, list(CONFIGS))


def read_config(given: Any, folder: Path) -> None:
    """Through the family's rule down to the ledger."""
    from deepwide.architecture.ledger import lower
    from deepwide.formats.huggingface import read_config as read

    lower(read(given))


TARGETS: dict[str, tuple[Callable[[Random], Any], Callable[[Any, Path], None]]] = {
    "safetensors": (damaged_safetensors, read_safetensors),
    "gguf": (damaged_gguf, read_gguf),
    "config": (damaged_config, read_config),
}


def judged(read: Callable[[Any, Path], None], given: Any, folder: Path, measured: bool) -> tuple[bool, str]:
    """Whether an input was refused, and what went wrong. It is read under a watch, and again under a scale if asked."""
    refused, failure, seconds = _attempt(read, given, folder)
    if not failure and seconds > MOST_SECONDS:
        failure = f"took {seconds:.2f} s of processor time"
    if not failure and measured:
        tracemalloc.start()
        _attempt(read, given, folder)
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        failure = f"took {peak_bytes / 1e6:.0f} MB" if peak_bytes > MOST_BYTES else ""
    return refused, failure


def _attempt(read: Callable[[Any, Path], None], given: Any, folder: Path) -> tuple[bool, str, float]:
    """Whether the input was refused, what went wrong, and the seconds of processor time."""
    begin = time.process_time()
    signal.setitimer(signal.ITIMER_REAL, 20 * MOST_SECONDS)
    refused, failure = False, ""
    try:
        read(given, folder)
    except BadInput as error:
        refused, message = True, str(error)
        if not message or not message.isprintable() or len(message) > MOST_MESSAGE:
            failure = f"BadInput is not one short printable line: {len(message)} characters, {message[:200]!r}"
    except Exception as error:  # whichever it is, it is what we look for
        failure = f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return refused, failure, time.process_time() - begin


def _out_of_time(*_: object) -> NoReturn:
    raise TimeoutError(f"no answer within {20 * MOST_SECONDS:.0f} s")


def options_given() -> argparse.Namespace:
    """What to run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=tuple(TARGETS))
    parser.add_argument("--first", type=int, default=0, help="number of the first input, to repeat one")
    return parser.parse_args()


def main() -> int:
    """Runs the inputs and prints what failed; 1 when anything did."""
    options = options_given()
    warnings.simplefilter("error")
    signal.signal(signal.SIGALRM, _out_of_time)
    begin = time.perf_counter()
    refused = failures = 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        for number in range(options.first, options.first + options.inputs):
            target = options.only or tuple(TARGETS)[number % len(TARGETS)]
            damage, read = TARGETS[target]
            given = damage(Random(f"{options.seed} {target} {number}"))
            was_refused, failure = judged(read, given, Path(folder), measured=number % MEASURED == 0)
            refused += was_refused
            failures += bool(failure)
            if failure and failures <= SHOWN_FAILURES:
                again = f"--seed {options.seed} --only {target} --first {number} --inputs 1"
                print(f"{target} {number}: {failure}\n  again: {again}\n  input: {ascii(given)[:2000]}")
            if (number - options.first + 1) % 10_000 == 0:
                print(f"{number - options.first + 1} inputs", file=sys.stderr)
    seconds = time.perf_counter() - begin
    rate = options.inputs / seconds
    print(f"{options.inputs} inputs, {refused} refused, {failures} errors, {seconds:.1f} s, {rate:.0f} inputs/s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
