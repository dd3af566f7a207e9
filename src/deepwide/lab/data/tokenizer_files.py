"""Where tokenisers come from and where they go: bytes, a BPE trained here, a tokenizer.json.

`tokenizers` is Hugging Face's library; a saved folder gives the same numbers there and in transformers' AutoTokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Engine

from deepwide.errors import BadInput, did_you_mean
from deepwide.lab.data.tokenizer import BYTE_SPECIALS, BYTES, SPECIALS, Tokenizer
from deepwide.lab.store.files import json_bytes, replace_whole, shown, written

FILE = "tokenizer.json"
CONFIG = "tokenizer_config.json"
MOST_FILE_BYTES = 2**27  # the largest in use (256,000 pieces) are below 40 MB
MOST_VOCAB = 1_000_000
LEAST_BPE = BYTES + len(SPECIALS)
ROLES = {"pad": "pad_token", "start": "bos_token", "end": "eos_token", "mask": "mask_token"}
USUAL = {  # what families call them, where no configuration beside the file says so
    "pad": "<pad> [PAD] <|pad|> <|endoftext|>",
    "start": "<s> <bos> [CLS] <|begin_of_text|> <|startoftext|> <|endoftext|> <pad> [PAD]",
    "end": "</s> <eos> [SEP] <|end_of_text|> <|endoftext|>",
    "mask": "<mask> [MASK] <|mask|>",
}


def special_text(name: str) -> str:
    """How a special token is written in the files of our own tokenisers."""
    return f"<|{name}|>"


def byte_tokenizer() -> Tokenizer:
    """One token per byte, 256 in all."""
    alphabet = _byte_alphabet()
    specials = {number: special_text(name) for name, number in BYTE_SPECIALS.items()}
    vocab = {specials.get(number, alphabet[number]): number for number in range(BYTES)}
    engine = Engine(models.BPE(vocab=vocab, merges=[]))
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    engine.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in specials.values()])
    return _tokenizer("bytes", engine, BYTE_SPECIALS)


def trained_bpe(texts: Iterable[str], vocab: int) -> Tokenizer:
    """A byte-level BPE of at most this many tokens, the same for the same texts (Sennrich et al. 2016)."""
    engine = Engine(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        show_progress=False,
        special_tokens=[AddedToken(special_text(name), normalized=False, special=True) for name in SPECIALS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    engine.train_from_iterator(texts, trainer=trainer)
    return _tokenizer(f"bpe:{vocab}", engine, {name: i for i, name in enumerate(SPECIALS)})


def bpe_vocab(name: str) -> int:
    """The size that `bpe:SIZE` asks for."""
    size = name.removeprefix("bpe:")
    if not size.isascii() or not size.isdigit() or len(size) > 7 or not LEAST_BPE <= int(size) <= MOST_VOCAB:
        raise BadInput(f"tokenizer={shown(name)!r} must be bpe:SIZE with a size from {LEAST_BPE} to {MOST_VOCAB:,}")
    return int(size)


def load(folder: str | Path, *, name: str | None = None) -> Tokenizer:
    """The tokeniser that lies in a folder, or in a tokenizer.json."""
    path = Path(folder)
    path = path / FILE if path.is_dir() else path
    return from_json(tokenizer_text(path), name=name or shown(path), configuration=_configuration(path))


def from_json(text: str, *, name: str, configuration: Mapping[str, Any] | None = None) -> Tokenizer:
    """A tokeniser from the text of a tokenizer.json, and of the configuration that names its special tokens."""
    try:
        engine = Engine.from_str(text)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the library, too, which is no Exception
        raise BadInput(f"{name}: not a tokenizer.json ({shown(str(error))})") from None
    if not 0 < engine.get_vocab_size() <= MOST_VOCAB:
        raise BadInput(f"{name}: {engine.get_vocab_size():,} tokens; expected from 1 to {MOST_VOCAB:,}")
    engine.no_padding()
    engine.no_truncation()
    own = byte_tokenizer()
    same = engine.get_vocab() == own.engine.get_vocab() and _merges(engine) == 0
    return own if same else _tokenizer(name, engine, _specials(engine, configuration or {}))


def tokenizer_text(path: Path) -> str:
    """The text of a tokenizer.json, if it is one that can be read and not too large."""
    where = shown(path)
    try:
        if not path.is_file():
            near = did_you_mean(where, ("bytes", "bpe:4096"))
            raise BadInput(f"tokenizer={where!r}: no such file; give 'bytes', 'bpe:SIZE' or a tokenizer.json{near}")
        if path.stat().st_size > MOST_FILE_BYTES:
            raise BadInput(f"{where}: more than {MOST_FILE_BYTES:,} bytes, too large for a tokeniser")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"tokenizer={where!r} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise BadInput(f"{where}: not a tokenizer.json (it is not text in UTF-8)") from None


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Both files, each put in place whole."""
    names = {ROLES[role]: tokenizer.engine.id_to_token(number) for role, number in tokenizer.specials.items()}
    configuration = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": True,  # their names in a text are text, as here
        **names,
    }
    with written(folder):
        folder.mkdir(parents=True, exist_ok=True)
        replace_whole(folder / FILE, tokenizer.engine.to_str(pretty=False).encode())
        replace_whole(folder / CONFIG, json_bytes(configuration))


def _tokenizer(name: str, engine: Any, specials: Mapping[str, int]) -> Tokenizer:
    engine.encode_special_tokens = True  # a text that says <|end|> does not end
    vocab = max(engine.get_vocab(with_added_tokens=True).values()) + 1
    return Tokenizer(name=name, vocab=vocab, specials=specials, engine=engine, pieces=_byte_pieces(engine, vocab))


def _byte_pieces(engine: Any, vocab: int) -> tuple[bytes, ...] | None:
    """The bytes of each token of a byte-level tokeniser; None for another kind."""
    if not isinstance(engine.decoder, decoders.ByteLevel):
        return None
    values = {sign: number for number, sign in enumerate(_byte_alphabet())}
    added = engine.get_added_tokens_decoder()
    return tuple(_bytes_of(engine.id_to_token(i), added.get(i), values) for i in range(vocab))


def _bytes_of(text: str | None, added: Any, values: Mapping[str, int]) -> bytes:
    if text is None or (added is not None and added.special):
        return b""
    known = added is None and all(sign in values for sign in text)
    return bytes(values[sign] for sign in text) if known else text.encode(errors="replace")


def _byte_alphabet() -> list[str]:
    """The printable sign that stands for each byte: itself where it prints, else the next from U+0100 (GPT-2)."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256, 512))
    return [chr(number if number in printable else next(others)) for number in range(BYTES)]


def _specials(engine: Any, configuration: Mapping[str, Any]) -> dict[str, int]:
    """Number by role, as the configuration says, or by the names that families use."""
    found = {}
    for role, candidates in USUAL.items():
        for text in [special_text(role), *_named(configuration, ROLES[role]), *candidates.split()]:
            number = engine.token_to_id(text)
            if number is not None:
                found[role] = int(number)
                break
    return found


def _named(configuration: Mapping[str, Any], key: str) -> Iterator[str]:
    """The text of a special token: a string, or a table with its content."""
    value = configuration.get(key)
    value = value.get("content") if isinstance(value, dict) else value
    if isinstance(value, str):
        yield value


def _configuration(path: Path) -> dict[str, Any]:
    """tokenizer_config.json beside the tokeniser, where it is there and is a table."""
    beside = path.with_name(CONFIG)
    try:
        table = json.loads(beside.read_bytes()) if beside.stat().st_size <= MOST_FILE_BYTES else None
    except (OSError, ValueError, RecursionError):
        return {}
    return table if isinstance(table, dict) else {}


def _merges(engine: Any) -> int:
    return len(json.loads(engine.to_str())["model"].get("merges", ()))
