"""The filter's language: what it means, and what it says of a mistake."""

from datetime import UTC, datetime

import pytest

from backend.run_filter import Words, parse, parts
from backend.stage import UserError
from db.reads.run_conditions import Condition

WORDS = Words(("alpha", "learning_rate", "target", "mask"), ("loss@train", "answer_accuracy@forget_score"))  # fmt: skip
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def read(text: str) -> list[Condition]:
    return parse(text, WORDS, NOW)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", []),
        ("   ", []),
        ("method:undo", [Condition("method", ":", ("undo",))]),
        ("name:undo run:7", [Condition("method", ":", ("undo",)), Condition("id", ":", (7.0,))]),
        ("STATE:Failed", [Condition("state", ":", ("failed",))]),
        ("state:failed,cancelled", [Condition("state", ":", ("failed", "cancelled"))]),
        ("-state:complete", [Condition("state", ":", ("complete",), True)]),
        ("state!=complete", [Condition("state", ":", ("complete",), True)]),
        ("seconds>60", [Condition("seconds", ">", (60.0,))]),
        ("alpha>=0.4", [Condition("p.alpha", ">=", (0.4,))]),
        ("alpha=0.4", [Condition("p.alpha", ":", (0.4,))]),
        ("p.alpha:0.4", [Condition("p.alpha", ":", (0.4,))]),
        ("mask.name:wagle", [Condition("p.mask.name", ":", ("wagle",))]),
        ("target:placebo", [Condition("p.target", ":", ("placebo",))]),
        ("loss@train<0.5", [Condition("loss@train", "<", (0.5,))]),
        ('tag:"look again",paper', [Condition("tag", ":", ("look again", "paper"))]),
        ('"free text" word', [Condition("text", ":", ("free text",)), Condition("text", ":", ("word",))]),
        ("-word", [Condition("text", ":", ("word",), True)]),
        ("is:archived has:note", [Condition("is", ":", ("archived",)), Condition("has", ":", ("note",))]),
        ("finished>=24h-ago", [Condition("finished", ">=", (datetime(2026, 2, 28, 12, tzinfo=UTC),))]),
        ("created:2026-01-05", [Condition("created", ":", (datetime(2026, 1, 5, tzinfo=UTC),))]),
        ("größe", [Condition("text", ":", ("größe",))]),
    ],
)  # fmt: skip
def test_a_filter_means(text: str, meant: list[Condition]) -> None:
    assert read(text) == meant


@pytest.mark.parametrize(
    ("text", "named", "valid"),
    [
        ("methd:undo", "'methd:undo'", "method"),
        ("alpa>1", "'alpa>1'", "alpha"),
        ("loss@trian>1", "'loss@trian>1'", "loss@train"),
        ("state:fail", "'state:fail'", "failed"),
        ("stage:training", "'stage:training'", "suppress"),
        ("seed:x", "'seed:x'", "number"),
        ("seconds>nan", "'seconds>nan'", "number"),
        ("alpha>high", "'alpha>high'", "number"),
        ("method>undo", "'method>undo'", "colon"),
        ("method:", "'method:'", "method:VALUE"),
        ("seed:0 -", "'-'", "a word"),
        ("seed>1,2", "'seed>1,2'", "one"),
        ('"never closed', "never closed", "closed"),
        ('tag:"never', "never", "closed"),
        ("finished>yesterday", "'finished>yesterday'", "24h-ago"),
        ("finished>999999999999d-ago", "no moment", "24h-ago"),
        ("text:x", "'text:x'", "fields are"),
        ("seed:0 ,", "','", "a word"),
    ],
)
def test_a_mistake_is_one_sentence_with_the_part_and_what_is_valid(text: str, named: str, valid: str) -> None:  # fmt: skip
    with pytest.raises(UserError) as told:
        read(text)
    sentence = str(told.value)
    assert named in sentence and valid in sentence
    assert "\n" not in sentence


def test_a_filter_falls_into_the_parts_that_it_was_written_in() -> None:
    assert parts('state:failed  -tag:"look again",x  "free text" y') == ["state:failed", '-tag:"look again",x', '"free text"', "y"]  # fmt: skip
    assert parts('a "open') == ["a", '"open']
    assert parts("") == []
    assert parts("a , b") == ["a", ", b"]
