import json
import mmap
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from deepwide.errors import BadInput
from deepwide.lab.data import prepare, token_file

TEXT = "".join(f"line {i}: the cat sat on the mat\n" for i in range(400))


@pytest.fixture
def texts(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    for i in range(40):
        (folder / f"{i}.txt").write_text(f"file {i} says café {i * i}\n" * 20)
    return folder


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_default_is_the_standard_library_with_the_share_asked_for(tmp_path):
    corpus = prepare(folder=tmp_path)
    assert ("stdlib", "text", 256) == (corpus.source, corpus.kind, corpus.vocab)
    total = len(corpus.train) + len(corpus.validation)
    assert 5e6 < total < 8e6
    assert 0.05 == pytest.approx(len(corpus.validation) / total, rel=0.2)
    assert corpus.sha256 == prepare("stdlib", folder=tmp_path).sha256


def test_both_sides_are_mapped_read_only_and_hold_whole_documents(tmp_path, texts):
    corpus = prepare(texts, folder=tmp_path / "tokens")
    for side in (corpus.train, corpus.validation):
        assert (1, np.dtype("<u2"), False) == (side.ndim, side.dtype, side.flags.writeable)
        assert _is_mapped(side)
    end = corpus.tokenizer.special("end")
    files = {path.read_text() for path in texts.iterdir()}
    sides = [set(map(corpus.tokenizer.decode, _documents(side, end))) for side in (corpus.train, corpus.validation)]
    assert files == sides[0] | sides[1]
    assert not sides[0] & sides[1]
    assert sides[1]


def _is_mapped(array):
    while isinstance(array.base, np.ndarray):
        array = array.base
    return isinstance(array.base, mmap.mmap)


def _documents(tokens, end):
    return np.split(tokens, np.flatnonzero(tokens == end))[:-1]


def test_a_byte_tokenizer_tells_nats_a_token_and_nats_a_byte_alike(tmp_path, texts):
    corpus = prepare(texts, folder=tmp_path / "tokens")
    assert 1.5 == corpus.nats_per_byte(1.5)
    assert len(corpus.validation) == corpus.validation_text_bytes
    pieces = prepare(texts, folder=tmp_path / "tokens", tokenizer="bpe:300")
    assert corpus.validation_text_bytes == pieces.validation_text_bytes
    assert corpus.sha256 == pieces.sha256
    assert pieces.nats_per_byte(1.5) < 1.5


def test_a_second_run_reuses_the_file(tmp_path, texts):
    first = prepare(texts, folder=tmp_path / "tokens", tokenizer="bpe:300")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "tokens").iterdir()}
    second = prepare(texts, folder=tmp_path / "tokens", tokenizer="bpe:300")
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "tokens").iterdir()}
    assert first.train.tolist() == second.train.tolist()


def test_texts_elsewhere_under_other_names_are_the_same_corpus(tmp_path, texts):
    other = tmp_path / "other"
    other.mkdir()
    for path in texts.iterdir():
        (other / f"x{path.name}").write_bytes(path.read_bytes())
    one, two = (prepare(folder, folder=tmp_path / "tokens") for folder in (texts, other))
    assert (one.sha256, one.path) == (two.sha256, two.path)


@pytest.mark.parametrize("kind", ["bin", "json", "bpe"])
@pytest.mark.parametrize("harm", ["cut", "altered", "emptied", "removed"])
def test_a_file_that_was_harmed_is_made_again(tmp_path, texts, kind, harm):
    folder = tmp_path / "tokens"
    prepare(texts, folder=folder, tokenizer="bpe:300")
    whole = content(folder)
    (path,) = folder.glob("tokenizer-*" if kind == "bpe" else f"tokens-*.{kind}")
    raw = path.read_bytes()
    middle = len(raw) // 2
    harmed = {"cut": raw[:-2], "altered": raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :], "emptied": b""}
    path.unlink() if harm == "removed" else path.write_bytes(harmed[harm])
    prepare(texts, folder=folder, tokenizer="bpe:300")
    fresh = content(folder)
    assert whole.keys() == fresh.keys()
    if (kind, harm) != ("json", "altered"):  # of what it says beside the sizes a letter may change and harm nothing
        assert whole == fresh


@pytest.mark.parametrize(
    "tokens",
    [
        {"train": -1},
        {"train": 10**30},
        {"dtype": "object"},
        {"dtype": "O"},
        {"dtype": 5},
        {"train": "9"},
        {"sha256": None},
        {"train_text_bytes": "many"},
        {"validation_text_bytes": 0},
    ],
)
def test_a_description_that_lies_is_not_believed(tmp_path, texts, tokens):
    folder = tmp_path / "tokens"
    first = prepare(texts, folder=folder)
    (path,) = folder.glob("*.json")
    about = json.loads(path.read_text())
    path.write_text(json.dumps({**about, "tokens": {**about["tokens"], **tokens}}))
    again = prepare(texts, folder=folder)
    assert first.train.tolist() == again.train.tolist()
    assert first.validation_text_bytes == again.validation_text_bytes


@pytest.mark.slow  # each imports PyTorch
def test_several_processes_prepare_the_same_corpus_at_once(tmp_path, texts):
    code = (
        f"from deepwide.lab.data import prepare; c = prepare({str(texts)!r}, folder={str(tmp_path / 'tokens')!r}, "
        "tokenizer='bpe:300'); print(c.sha256, c.train.sum(), len(c.validation), c.vocab)"
    )
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = {process.communicate()[0] for process in running}
    assert 1 == len(said)
    assert {0} == {process.returncode for process in running}
    assert 3 == len(list((tmp_path / "tokens").iterdir()))


@pytest.mark.parametrize("tokenizer", ["bytes", "bpe:300"])
def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(tmp_path, texts, tokenizer):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))  # a larger file fails as on a full disk
    try:
        with pytest.raises(BadInput, match="make room") as error:
            prepare(texts, folder=tmp_path / "tokens", tokenizer=tokenizer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(error.value)
    left = [path.name for path in (tmp_path / "tokens").iterdir() if not path.name.startswith("tokenizer-")]
    assert [] == left


def test_what_a_killed_process_left_is_swept_away_in_time(tmp_path, texts):
    folder = tmp_path / "tokens"
    folder.mkdir()
    for name in (".tokens-old.part", ".tokens-new.part"):
        (folder / name).write_bytes(b"half")
    os.utime(folder / ".tokens-old.part", (0, 0))
    prepare(texts, folder=folder)
    assert [".tokens-new.part"] == [path.name for path in folder.glob(".*")]


@pytest.mark.parametrize("folder", ["file", "file/below", "nul\0l"])
def test_a_folder_that_cannot_be_is_told_in_one_line(tmp_path, texts, folder):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInput) as error:
        prepare(texts, folder=tmp_path / folder)
    assert "\n" not in str(error.value)


def test_a_bpe_sees_the_training_side_alone(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT + "zyzzyva " * 50 + "\n")
    corpus = prepare(tmp_path / "a.txt", folder=tmp_path / "tokens", tokenizer="bpe:320")
    assert "zyzzyva" in corpus.tokenizer.decode(corpus.validation)
    assert not any(b"zy" in piece for piece in corpus.tokenizer.pieces)


def test_a_text_too_poor_for_the_vocabulary_is_noted(tmp_path, texts):
    corpus = prepare(texts, folder=tmp_path / "tokens", tokenizer="bpe:5000")
    assert corpus.vocab < 5000
    assert f"enough in it for {corpus.vocab} tokens only" in corpus.notes[0]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"source": []}, "names no file"),
        ({"tokenizer": "byte"}, "did you mean bytes"),
        ({"validation_share": 0}, "validation_share"),
        ({"validation_share": float("nan")}, "validation_share"),
        ({"seed": -1}, "seed"),
        ({"source": "hf:../x"}, "hf:OWNER/NAME"),
        ({"source": ["copy", "reverse"]}, "no such file"),
    ],
)
def test_wrong_words_are_told_in_one_line(tmp_path, texts, wrong, reason):
    with pytest.raises(BadInput, match=reason) as error:
        prepare(**{"source": texts, "folder": tmp_path / "tokens", **wrong})
    assert "\n" not in str(error.value)


def test_a_text_too_small_to_share_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(BadInput, match="too little"):
        prepare(tmp_path / "a.txt", folder=tmp_path / "tokens")


def test_files_and_folders_may_be_given_together(tmp_path, texts):
    (tmp_path / "more.dat").write_text(TEXT)
    corpus = prepare([texts, tmp_path / "more.dat", texts / "0.txt"], folder=tmp_path / "tokens")
    assert "1 documents have the text of another" in corpus.notes[0]
    assert corpus.train_text_bytes + corpus.validation_text_bytes > len(TEXT)


def test_a_key_that_is_not_there_holds_nothing(tmp_path):
    assert token_file.stored(tmp_path, "none") is None
