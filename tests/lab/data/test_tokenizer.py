import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Engine
from tokenizers import models, pre_tokenizers

from deepwide.errors import BadInput
from deepwide.lab.data import byte_tokenizer, load_tokenizer
from deepwide.lab.data import tokenizer as tokenizer_module
from deepwide.lab.data.tokenizer import SPECIALS
from deepwide.lab.data.tokenizer_files import FILE, bpe_vocab, trained_bpe

BYTES = byte_tokenizer()
TEXTS = ["the cat sat on the mat\n" * 30, "def cat(mat):\n    return mat\n" * 30, "naïve café 😀\n" * 30]
BPE = trained_bpe(TEXTS, 400)
BOTH = pytest.mark.parametrize("tokenizer", [BYTES, BPE], ids=["bytes", "bpe"])
any_text = st.text(max_size=200)


@given(any_text)
def test_the_tokens_of_bytes_are_the_bytes(text):
    assert list(text.encode()) == BYTES.encode(text)
    assert 256 == BYTES.vocab


@BOTH
@given(any_text)
def test_what_was_encoded_decodes_to_itself(tokenizer, text):
    assert text == tokenizer.decode(tokenizer.encode(text))


@BOTH
@given(st.lists(st.integers(-5, 500), max_size=40))
def test_a_stream_of_any_tokens_joins_to_what_they_decode_to(tokenizer, tokens):
    push = tokenizer.stream()
    assert tokenizer.decode(tokens) == "".join([*map(push, tokens), push(None)])


def test_a_character_of_several_bytes_appears_with_its_last_byte():
    push = BYTES.stream()
    assert ["", "", "", "😀", "!", ""] == [*map(push, [*"😀!".encode()]), push(None)]


@BOTH
def test_no_text_holds_a_special_token(tokenizer):
    text = "".join(f"<|{name}|>" for name in SPECIALS) + "\0\ufffd\udcff"
    assert not set(tokenizer.special_ids) & set(tokenizer.encode(text))
    assert 4 == len(tokenizer.special_ids)
    assert "" == tokenizer.decode(tokenizer.special_ids)


@BOTH
@given(text=any_text)
@settings(max_examples=30)
def test_the_library_gives_the_same_tokens_from_the_saved_file(tokenizer, tmp_path_factory, text):
    folder = tmp_path_factory.getbasetemp() / tokenizer.name.replace(":", "-")
    if not (folder / FILE).exists():
        tokenizer.save(folder)
    engine = Engine.from_file(str(folder / FILE))
    assert tokenizer.encode(text) == engine.encode(text, add_special_tokens=False).ids
    assert text == engine.decode(tokenizer.encode(text))


@BOTH
def test_a_saved_tokenizer_loads_as_it_was(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert (tokenizer.vocab, tokenizer.specials, tokenizer.pieces) == (loaded.vocab, loaded.specials, loaded.pieces)
    assert tokenizer.encode("the café") == loaded.encode("the café")


def test_a_saved_byte_tokenizer_loads_as_bytes(tmp_path):
    BYTES.save(tmp_path)
    assert "bytes" == load_tokenizer(tmp_path).name


@pytest.mark.slow
@pytest.mark.parametrize("tokenizer", [BYTES, BPE], ids=["bytes", "bpe"])
def test_transformers_reads_the_saved_folder(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    tokenizer.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    text = "naïve <|end|> cat\n 😀"
    assert tokenizer.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]
    numbers = [theirs.pad_token_id, theirs.bos_token_id, theirs.eos_token_id, theirs.mask_token_id]
    assert [tokenizer.special(name) for name in SPECIALS] == numbers
    assert text == theirs.decode(tokenizer.encode(text))


def test_training_gives_the_same_tokenizer_again():
    assert BPE.engine.to_str() == trained_bpe(TEXTS, 400).engine.to_str()
    assert list(range(4)) == [BPE.special(name) for name in SPECIALS]


def test_a_trained_tokenizer_needs_fewer_tokens_than_bytes():
    assert len(BPE.encode(TEXTS[0])) < len(TEXTS[0]) / 3


@pytest.mark.parametrize("text", ["ein Wort €" * 100, "ein Wort €\n" * 100, "€" * 100, "\n" * 99])
@pytest.mark.parametrize("most_bytes", [4, 7, 64])
def test_a_long_text_is_encoded_in_parts_and_loses_nothing(monkeypatch, text, most_bytes):
    monkeypatch.setattr(tokenizer_module, "MOST_AT_ONCE_BYTES", most_bytes)
    assert text == BPE.decode(BPE.encode(text))


@pytest.mark.parametrize("name", ["bpe:", "bpe:259", "bpe:x", "bpe:-300", "bpe:²", "bpe:99999999", "bpe:1e3"])
def test_a_size_that_cannot_be_is_refused(name):
    with pytest.raises(BadInput, match="bpe:SIZE"):
        bpe_vocab(name)


def test_a_tokenizer_of_words_decodes_and_streams_and_says_what_it_lacks(tmp_path):
    engine = Engine(models.WordLevel({"[UNK]": 0, "cat": 1, "mat": 2, "[MASK]": 7}, unk_token="[UNK]"))
    engine.pre_tokenizer = pre_tokenizers.Whitespace()
    engine.save(str(tmp_path / FILE))
    tokenizer = load_tokenizer(tmp_path / FILE)
    assert (8, 7) == (tokenizer.vocab, tokenizer.special("mask"))
    assert [1, 0, 2] == tokenizer.encode("cat dog mat")
    push = tokenizer.stream()
    assert ["cat", " mat", "", ""] == [push(1), push(2), push(99), push(None)]
    with pytest.raises(BadInput, match="no token for 'end'"):
        tokenizer.special("end")


def test_the_configuration_beside_a_file_names_its_special_tokens(tmp_path):
    vocab = {"a": 0, "<x>": 1, "<y>": 2, "</s>": 3}
    Engine(models.WordLevel(vocab, unk_token="a")).save(str(tmp_path / FILE))
    configuration = {"eos_token": {"content": "<x>"}, "pad_token": "<y>", "mask_token": 3, "bos_token": None}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(configuration))
    assert {"end": 1, "pad": 2} == dict(load_tokenizer(tmp_path).specials)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1]", b"\xff\xfe", b"null", b'{"model": {"type": "BPE"}}', b"[" * 100_000, b"pickle\x80\x04."],
)
def test_a_file_that_is_no_tokenizer_is_refused_in_one_line(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(BadInput) as error:
        load_tokenizer(tmp_path)
    assert "\n" not in str(error.value)


def test_a_misspelt_tokenizer_gets_a_suggestion():
    with pytest.raises(BadInput, match="did you mean bytes"):
        load_tokenizer("byte")
