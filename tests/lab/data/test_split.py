import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepwide.errors import BadInput
from deepwide.lab.data.documents import Document
from deepwide.lab.data.split import cut, split, survey

texts_of_any_kind = st.lists(st.text(min_size=1, max_size=200).map(lambda s: s.encode("utf-8", "replace")), min_size=1)


def sides_of(contents, share=0.1, seed=0):
    documents = [Document(name=str(i), read=lambda raw=raw: raw) for i, raw in enumerate(contents)]
    return split(survey(documents)[0], share=share, seed=seed)


def read(parts):
    return [part.read() for part in parts]


@given(texts_of_any_kind, st.floats(0.01, 0.5), st.integers(0, 5))
def test_both_sides_together_are_every_text_once(contents, share, seed):
    sides = sides_of(contents, share, seed)
    parts = sorted([*sides.train, *sides.validation], key=lambda part: (part.text.sha256, part.begin))
    whole = {}
    for part in parts:
        whole[part.text.sha256] = whole.get(part.text.sha256, b"") + part.read()
    assert sorted(set(contents)) == sorted(whole.values())


@given(texts_of_any_kind, st.randoms(use_true_random=False))
def test_neither_order_nor_names_nor_twins_change_the_split(contents, random):
    shuffled = contents + contents[:3]
    random.shuffle(shuffled)
    assert sides_of(contents).sha256 == sides_of(shuffled).sha256


def test_twins_lie_on_one_side():
    contents = [f"text {i % 40}\n".encode() * 50 for i in range(200)]
    sides = sides_of(contents)
    assert set() == set(read(sides.train)) & set(read(sides.validation))
    assert 40 == len(sides.train) + len(sides.validation)


@pytest.mark.parametrize("share", [0.02, 0.05, 0.2, 0.5])
def test_whole_documents_make_about_the_share(share):
    contents = [f"{i}\n".encode() * (1 + i * 7 % 90) for i in range(300)]
    sides = sides_of(contents, share)
    total = sum(map(len, set(contents)))
    assert share == pytest.approx(sum(map(len, read(sides.validation))) / total, rel=0.5)
    assert all(part.begin == 0 and part.end == part.text.size_bytes for part in sides.validation)


def test_another_seed_validates_on_other_documents():
    contents = [f"document {i}\n".encode() * 50 for i in range(100)]
    assert sides_of(contents, seed=0).sha256 != sides_of(contents, seed=1).sha256


def test_one_big_file_is_cut_at_the_end_of_a_line():
    raw = b"".join(f"line {i}\n".encode() for i in range(1000))
    sides = sides_of([raw], 0.05)
    (train,), (validation,) = read(sides.train), read(sides.validation)
    assert raw == train + validation
    assert train.endswith(b"\n")
    assert 0.05 == pytest.approx(len(validation) / len(raw), rel=0.1)


def test_a_giant_and_a_dwarf_are_both_cut_since_the_dwarf_alone_would_not_do():
    sides = sides_of([b"a line\n" * 10_000, b"another\n" * 10])
    assert 2 == len(sides.train)
    assert 0.1 == pytest.approx(sum(map(len, read(sides.validation))) / 70_080, rel=0.05)


def test_of_a_few_equal_files_a_whole_one_validates():
    sides = sides_of([f"file {i}\n".encode() * 100 for i in range(6)], 0.05)
    assert (5, 1) == (len(sides.train), len(sides.validation))


@given(st.text(alphabet="aé€😀\n", min_size=2, max_size=300), st.floats(0.01, 0.5))
def test_a_cut_never_breaks_a_character(text, share):
    raw = text.encode()
    place = cut(raw, share)
    assert text == raw[:place].decode() + raw[place:].decode()


def test_a_file_that_changes_between_two_readings_is_noticed():
    versions = iter([b"one\n" * 100, b"one\n" * 100, b"two\n" * 100])
    texts, _ = survey([Document(name="a", read=lambda: next(versions))])
    with pytest.raises(BadInput, match="changed while it was being read"):
        read(split(texts, share=0.1, seed=0).train)
