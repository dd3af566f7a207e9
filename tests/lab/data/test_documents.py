import os
import sys
import types
from pathlib import Path

import pytest

from deepwide.errors import BadInput
from deepwide.lab.data.documents import MOST_FILE_BYTES, documents_of, text_bytes
from deepwide.lab.data.hub import hub_documents
from deepwide.lab.data.split import survey
from deepwide.lab.data.standard_library import MODULES, standard_library


def names(documents):
    return [Path(document.name).name for document in documents]


def one_line(error):
    return "\n" not in str(error.value) and len(str(error.value)) < 600


def test_a_folder_gives_its_texts_in_order_and_leaves_out_what_is_hidden_or_no_text(tmp_path):
    for name in ("b.txt", "a.md", ".hidden.txt", "picture.png", "deep/c.py", ".git/d.txt", "node_modules/e.js"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("text")
    assert ["a.md", "b.txt", "c.py"] == names(documents_of(tmp_path))


def test_a_glob_gives_its_matches_and_a_file_is_taken_whatever_its_ending(tmp_path):
    for name in ("a.dat", "b.txt", "deep/c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    assert ["b.txt", "c.txt"] == names(documents_of(f"{tmp_path}/**/*.txt"))
    assert ["a.dat"] == names(documents_of(tmp_path / "a.dat"))


def test_a_file_whose_name_looks_like_a_glob_is_itself(tmp_path):
    (tmp_path / "a[1].txt").write_text("text")
    assert ["a[1].txt"] == names(documents_of(tmp_path / "a[1].txt"))


@pytest.mark.parametrize("pattern", ["", "/**/*.txt"])
def test_links_that_form_a_loop_end(tmp_path, pattern):
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.txt").write_text("text")
    for name in ("one", "two", "three"):
        (tmp_path / "deep" / name).symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "loop.txt").symlink_to(tmp_path / "loop.txt")
    texts, notes = survey(documents_of(f"{tmp_path}{pattern}"))
    assert ["a.txt"] == names(text.document for text in texts)
    assert "1 documents passed over" in notes[0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\x7fELF\0\0", "binary"),
        ("Motörhead".encode("utf-16"), "UTF-16"),
        (bytes(range(128, 256)) * 5, "not text in UTF-8"),
    ],
)
def test_what_is_no_text_is_refused_by_name_and_passed_over_in_a_folder(tmp_path, content, reason):
    (tmp_path / "a.txt").write_bytes(content)
    (tmp_path / "b.txt").write_text("good")
    with pytest.raises(BadInput, match=reason) as error:
        survey(documents_of(tmp_path / "a.txt"))
    assert one_line(error)
    texts, notes = survey(documents_of(tmp_path))
    assert ["b.txt"] == names(text.document for text in texts)
    assert reason in notes[0]


def test_a_few_broken_bytes_are_replaced_and_lines_end_in_newlines(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree " + b"x" * 100 + b"\xff\n")
    assert "one\ntwo\nthree " + "x" * 100 + "\ufffd\n" == text_bytes(tmp_path / "a.txt").decode()


def test_a_pipe_is_not_waited_for_and_a_device_not_drained(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    for path in (tmp_path / "pipe.txt", "/dev/zero"):
        with pytest.raises(BadInput, match="pipe or a device"):
            survey(documents_of(path))


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "a.txt").open("wb") as file:
        file.truncate(MOST_FILE_BYTES + 1)  # a hole: it takes no room
    with pytest.raises(BadInput, match="split it first"):
        survey(documents_of(tmp_path / "a.txt"))


@pytest.mark.parametrize("source", ["nowhere", "nul\0l", "x" * 5000, "*.nothing", "bad\nname", "a\udcff", "/**x/*"])
def test_a_source_that_is_not_there_is_told_in_one_line(source):
    with pytest.raises(BadInput) as error:
        documents_of(source)
    assert one_line(error)


def test_an_empty_folder_says_what_is_searched_for(tmp_path):
    with pytest.raises(BadInput, match="no text in it"):
        documents_of(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "a.txt").chmod(0)
    with pytest.raises(BadInput, match="Permission"):
        survey(documents_of(tmp_path / "a.txt"))


def test_the_standard_library_has_every_module_of_the_list_here():
    documents, notes = standard_library()
    assert sum(len(modules.split()) for modules in MODULES.values()) == len(documents)
    assert [] == notes


def test_a_stripped_standard_library_is_refused_and_a_gap_is_noted(tmp_path):
    with pytest.raises(BadInput, match="give text of your own"):
        standard_library(tmp_path)
    for place, modules in MODULES.items():
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        for name in modules.split():
            (tmp_path / place / f"{name}.py").write_text("x = 1")
    (tmp_path / "ast.py").unlink()
    documents, notes = standard_library(tmp_path)
    assert "ast.py" not in names(documents)
    assert ["1 modules of the list are not on this machine: ast.py"] == notes


class Rows:
    """As much of a data set as is used."""

    def __init__(self, columns, rows):
        self.features = {name: types.SimpleNamespace(dtype=kind) for name, kind in columns.items()}
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


def library(monkeypatch, load, version="4.1.0"):
    fake = types.SimpleNamespace(__version__=version, load_dataset=load)
    monkeypatch.setitem(sys.modules, "datasets", fake)


def test_rows_of_a_data_set_are_documents_and_empty_ones_are_passed_over(monkeypatch):
    asked = []
    rows = Rows({"label": "int64", "text": "string"}, [{"text": "one"}, {"text": ""}, {"text": "two\udcff"}])
    library(monkeypatch, lambda *a, **k: asked.append((a, k)) or rows)
    texts, notes = survey(hub_documents("hf:owner/name:small:validation"))
    assert [(("owner/name", "small"), {"split": "validation"})] == asked
    assert {b"one", b"two?"} == {text.document.read() for text in texts}
    assert "row 1: empty" in notes[0]


def test_the_split_is_train_and_the_configuration_the_only_one_unless_said(monkeypatch):
    asked = []
    library(monkeypatch, lambda *a, **k: asked.append((*a, k["split"])) or Rows({"text": "string"}, []))
    for source in ("hf:owner/name", "hf:owner/name::test", "hf:owner/name:small"):
        hub_documents(source)
    assert [("owner/name", None, "train"), ("owner/name", None, "test"), ("owner/name", "small", "train")] == asked


def test_a_folder_of_the_same_name_is_not_taken_for_the_data_set(monkeypatch, tmp_path):
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    library(monkeypatch, lambda *_a, **_k: pytest.fail("was asked"))
    with pytest.raises(BadInput, match="is here"):
        hub_documents("hf:owner/name")


def refuse(*_args, **_keywords):
    raise ConnectionError("Couldn't reach\nthe Hub")


@pytest.mark.parametrize(
    ("load", "version", "reason"),
    [
        (refuse, "5.2.0", "cannot be had: Couldn't reach the Hub"),
        (refuse, "2.14.0", "can run code of others"),
        (lambda *_a, **_k: Rows({"a": "string", "b": "string"}, []), "5.2.0", "no column `text` among a, b"),
    ],
)
def test_a_data_set_that_cannot_be_had_is_told_in_one_line(monkeypatch, load, version, reason):
    library(monkeypatch, load, version)
    with pytest.raises(BadInput, match=reason) as error:
        hub_documents("hf:owner/name")
    assert one_line(error)


def test_without_the_library_for_data_sets_the_way_out_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(BadInput, match="pip install"):
        hub_documents("hf:owner/name")


@pytest.mark.parametrize(
    "source", ["hf:", "hf:../etc", "hf:/etc", "hf:a/b/c", "hf:a:b:c:d", "hf:a b", "hf:~x", "hf:text", "hf:json"]
)
def test_a_name_that_is_no_data_set_never_reaches_the_library(monkeypatch, source):
    library(monkeypatch, lambda *_a, **_k: pytest.fail("was asked"))
    with pytest.raises(BadInput, match="must be hf:OWNER/NAME"):
        hub_documents(source)
