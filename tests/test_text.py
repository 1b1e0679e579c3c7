"""Text as data: what is read, how it is cut into tokens, and that no token of it gets lost on the way."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, processors

from backend.data import IGNORE, Examples, answers_of
from backend.prompts import prefixed
from backend.stage import UserError
from backend.text import absent
from backend.text.languages import sentences
from backend.text.packing import packed
from backend.text.questions import Asked, answer_tokens, rows
from backend.text.sources import source
from backend.text.tokenizers import END, PAD, beginning_of, given, kept, trained, words_of

TEXTS = ["the cat sat on the mat", "한국어 문장입니다", "a b c d e f g", "", "the dog sat"]


@pytest.fixture
def cutter() -> Tokenizer:
    return trained(TEXTS, 300)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("LETHE_HOME", str(folder))
    return folder


def blocks(cutter: Tokenizer, documents: list[str], length: int = 4) -> dict[str, Examples]:
    return packed(
        lambda: documents,
        "texts",
        cutter,
        length,
        ("even", "odd"),
        lambda n, _: ("even", "odd")[n % 2],
    )


def test_a_file_with_blank_lines_holds_paragraphs_any_other_a_document_a_line(
    tmp_path: Path,
) -> None:
    (tmp_path / "book.txt").write_text("one\ntwo\n\n \nthree\n", encoding="utf-8")
    (tmp_path / "lines.txt").write_text("one\ntwo\nthree\n\n", encoding="utf-8")
    assert list(source(str(tmp_path / "book.txt")).documents()) == ["one\ntwo", "three"]
    assert list(source(str(tmp_path / "lines.txt")).documents()) == ["one", "two", "three"]


def _json_lines(path: Path, texts: list[str]) -> None:
    path.write_text("\n".join(json.dumps({"text": t}) for t in texts), encoding="utf-8")


def _json_list(path: Path, texts: list[str]) -> None:
    path.write_text(json.dumps([{"text": t} for t in texts]), encoding="utf-8")


def _parquet(path: Path, texts: list[str]) -> None:
    import pyarrow as arrow
    from pyarrow import parquet

    parquet.write_table(arrow.table({"text": texts}), path)


@pytest.mark.parametrize(
    ("name", "write"), [("a.jsonl", _json_lines), ("a.json", _json_list), ("a.parquet", _parquet)]
)
def test_files_of_rows_give_the_texts_of_a_field(
    tmp_path: Path, name: str, write: Callable[[Path, list[str]], None]
) -> None:
    write(tmp_path / name, ["first", "", "second"])
    assert list(source(str(tmp_path / name)).documents()) == ["first", "second"]
    assert [row["text"] for row in source(str(tmp_path / name)).records()] == [
        "first",
        "",
        "second",
    ]
    with pytest.raises(UserError, match="no text in a field 'body'; its fields: text"):
        list(source(str(tmp_path / name), "body").documents())


def test_a_folder_is_read_file_by_file_and_a_saved_dataset_like_one(tmp_path: Path) -> None:
    from datasets import Dataset

    plain = tmp_path / "plain" / "deeper"
    plain.mkdir(parents=True)
    (plain / "b.txt").write_text("from b", encoding="utf-8")
    _json_lines(tmp_path / "plain" / "a.jsonl", ["from a"])
    assert list(source(str(tmp_path / "plain")).documents()) == ["from a", "from b"]
    Dataset.from_dict({"text": ["x", "y"]}).save_to_disk(str(tmp_path / "saved"))
    assert list(source(str(tmp_path / "saved")).documents()) == ["x", "y"]


def test_what_cannot_be_read_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a", encoding="utf-8")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "bad.jsonl").write_text("{", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    for name, message in {
        "a.csv": "of no known kind",
        "empty": "holds no file that can be read",
        "none.txt": "no file or folder",
    }.items():
        with pytest.raises(UserError, match=message):
            source(str(tmp_path / name))
    for name, message in {"bytes.txt": "not UTF-8", "bad.jsonl": "not valid JSON"}.items():
        with pytest.raises(UserError, match=message):
            list(source(str(tmp_path / name)).documents())


def test_a_sources_identity_follows_its_contents(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one", encoding="utf-8")
    before = source(str(path)).identity
    copy = tmp_path / "b.txt"
    copy.write_text("one", encoding="utf-8")
    assert source(str(copy)).identity == before
    path.write_text("two", encoding="utf-8")
    os.utime(path, ns=(1, 1))
    assert source(str(path)).identity != before


def test_a_dataset_that_cannot_be_fetched_stands_for_itself_while_a_plan_is_outlined() -> None:
    wanted = source("nobody/nothing-of-that-name:part@main")
    with pytest.raises(
        absent.Absent, match="nobody/nothing-of-that-name:part@main could not be read"
    ):
        list(wanted.documents())
    with absent.outlining() as missing:
        assert len(list(wanted.documents())) == absent.DOCUMENTS
        assert len(list(wanted.records())) == absent.ROWS
    assert len(missing) == 1 and "when the study is submitted" in missing[0]


def test_the_same_texts_train_the_same_tokenizer_which_knows_every_byte(cutter: Tokenizer) -> None:
    assert trained(TEXTS, 300).to_str() == cutter.to_str()
    for text in ("unseen Ω 漢字 🙂", *TEXTS):
        assert cutter.decode(cutter.encode(text).ids) == text
    words = words_of(cutter)
    assert words[:2] == (PAD, END) and len(words) == cutter.get_vocab_size()
    with pytest.raises(UserError, match="vocabulary = 100 must be at least 258"):
        trained(TEXTS, 100)


def test_a_trained_tokenizer_is_kept_under_what_stands_for_its_texts(home: Path) -> None:
    first = kept(lambda: TEXTS, "these", 300)
    again = kept(lambda: pytest.fail("read again"), "these", 300)  # type: ignore[arg-type, return-value]
    assert again.to_str() == first.to_str()
    assert kept(lambda: ["other text"], "those", 300).to_str() != first.to_str()


def test_a_given_tokenizer_is_a_file_or_a_folder(tmp_path: Path, cutter: Tokenizer) -> None:
    cutter.save(str(tmp_path / "tokenizer.json"))
    for name in (tmp_path, tmp_path / "tokenizer.json"):
        assert given(str(name)).to_str() == cutter.to_str()
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="is no tokenizer"):
        given(str(tmp_path / "other.json"))
    with pytest.raises(absent.Absent, match="no tokenizer 'nobody/nothing'"):
        given("nobody/nothing")


def test_packing_loses_no_token_and_scores_each_once(cutter: Tokenizer, tmp_path: Path) -> None:
    texts = [f"document {k} says {k * 7} things" for k in range(9)]
    for part, found in blocks(cutter, texts, 5).items():
        mine = texts[0 if part == "even" else 1 :: 2]
        end = cutter.token_to_id(END)
        tokens = np.array([i for text in mine for i in [*cutter.encode(text).ids, end]])
        assert found.input_ids.reshape(-1)[: len(tokens) - 1].tolist() == tokens[:-1].tolist()
        assert found.targets[found.targets != IGNORE].tolist() == tokens[1:].tolist()
        assert (found.targets[:-1] != IGNORE).all() and found.input_ids.shape[1] == 5


def test_blocks_are_kept_whole_and_mapped_into_memory(cutter: Tokenizer, home: Path) -> None:
    import shutil

    texts = [f"document {k}" for k in range(9)]
    first = blocks(cutter, texts)
    assert isinstance(first["even"].input_ids.base, np.memmap)
    (folder,) = (home / "cache" / "text").iterdir()
    again = packed(lambda: pytest.fail("read again"), "texts", cutter, 4, ("even", "odd"), lambda n, _: "even")  # type: ignore[arg-type, return-value]  # fmt: skip
    shutil.rmtree(home)
    bare = blocks(cutter, texts)
    assert not home.exists()
    for part in ("even", "odd"):
        assert bare[part].identity == again[part].identity == f"{folder.name}/{part}"
        assert np.array_equal(bare[part].input_ids, first[part].input_ids)
        assert np.array_equal(again[part].targets, bare[part].targets)


def test_a_failure_while_writing_leaves_no_half_written_blocks(
    cutter: Tokenizer, home: Path
) -> None:
    def broken() -> list[str]:
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        packed(broken, "texts", cutter, 4, ("a",), lambda n, _: "a")
    assert list((home / "cache" / "text").iterdir()) == []


def test_questions_are_read_and_answers_scored_with_the_end(cutter: Tokenizer) -> None:
    items = [
        Asked("the cat?", "sat", "verb", "f1", "cat"),
        Asked("a?", "한국어 문장", "noun", "f2", "a"),
    ]
    found = rows(cutter, items)
    for row, item in enumerate(items):
        asked = cutter.encode(f"Question: {item.question}\nAnswer:").ids
        said = [*cutter.encode(f" {item.answer}").ids, cutter.token_to_id(END)]
        assert found.targets[row][found.targets[row] != IGNORE].tolist() == said
        assert found.input_ids[row, : len(asked)].tolist() == asked
        assert (found.targets[row, : len(asked) - 1] == IGNORE).all()
    assert found.categories == ("verb", "noun") and found.subjects == ("cat", "a")
    assert answer_tokens(cutter, ["sat"], end=False)[0].tolist() == cutter.encode(" sat").ids


def test_a_tokenizer_that_begins_texts_does_so_before_questions_and_once(cutter: Tokenizer) -> None:
    assert beginning_of(cutter) == []
    begins = Tokenizer.from_str(cutter.to_str())
    begins.add_special_tokens(["<bos>"])
    first = begins.token_to_id("<bos>")
    begins.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", first)]
    )
    assert beginning_of(begins) == [first]
    item = [Asked("the cat?", "sat")]
    plainly, written = rows(begins, item), rows(begins, item, lambda question: f"<bos>{question}")
    for found in (plainly, written):
        assert found.input_ids[0].tolist().count(first) == 1 and found.input_ids[0, 0] == first
    after = prefixed(plainly, [np.array([7, 8])], behind=1)
    assert after.input_ids[0, :3].tolist() == [first, 7, 8]
    assert answers_of(after)[0].tolist() == answers_of(plainly)[0].tolist()


def test_the_invented_languages_share_no_word_and_never_change() -> None:
    kept_words, forgotten = (
        {word.strip(".") for text in sentences(name, 500) for word in text.split()}
        for name in ("keep", "forget")
    )
    assert len(kept_words) > 100 and len(forgotten) > 100 and not kept_words & forgotten
    assert not set("".join(kept_words)) & set("".join(forgotten))
    assert list(sentences("keep", 3)) == list(sentences("keep", 3)) != list(sentences("keep", 3, 1))
