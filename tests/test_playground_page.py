"""The playground's page: what it asks, what it shows in every state, and that no model's words are markup."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from backend.playground import requests
from db import reads, writes
from db.session import require_database
from pages.components.answers_view import case_content, marked
from pages.components.prompt_form import question_of
from tests.seed_database import seed_study
from tests.test_pages import ROOT, SMALL, told

Open = Callable[..., AppTest]
EVIL = "<img src=x onerror=alert(1)> **bold** 6 &amp; </article>"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("playground")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LETHE_HOME", str(folder))
        patch.delenv("LETHE_DATABASE_URL", raising=False)
        seed_study(require_database(), overrides=SMALL)
    return folder


@pytest.fixture
def open_page(home: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    monkeypatch.setenv("LETHE_HOME", str(home))

    def opened(**address: str | list[str]) -> AppTest:
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
        for key, value in address.items():
            at.query_params[key] = value
        at.switch_page("pages/7_Playground.py").run()
        assert not at.exception, at.exception[0].value
        return at

    return opened


@pytest.fixture
def engine(home: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setenv("LETHE_HOME", str(home))
    return require_database()


def button(at: AppTest, label: str) -> Any:
    return next(one for one in at.button if one.label == label)


def labels(at: AppTest) -> list[str]:
    return [one.label for one in at.button]


def newest(engine: Engine) -> dict[str, Any]:
    """The newest request, by claiming it."""
    claim = writes.claim_prompt(engine, "s", 3600)
    assert claim is not None
    return {"id": claim.id, "attempt": claim.attempt, "asked": claim.asked}


def document(asked: dict[str, Any], texts: list[str], expected: str | None, items: int = 1) -> Any:
    """Answers as a server stores them; no number here was measured."""
    answers = [
        {"text": text, "tokens": 1, "ended": False, "right": text == expected, "log_p": [-0.5 * i], "likeliest": ["7"]}
        for i, text in enumerate(texts)
    ]  # fmt: skip
    item = {
        "prompt": "2 × 3 =", "expected": expected, "category": "×", "subject": "", "reference": ["6"],
        "answers": answers,
    }  # fmt: skip
    rows = [{**item, "place": place} for place in range(items)]
    if items > 1:  # the last one is answered alike by all
        rows[-1] = {**rows[-1], "answers": [{**a, "text": "0", "right": False} for a in answers]}
    reference = "the expected answer" if expected else "the first model's answer"
    return {
        "items": rows,
        "models": [{"wrapped": False, "device": "cpu"}] * len(texts),
        "reference": reference,
        "end": "<end>",
        "seconds": 0.2,
    }


def asked_through(open_page: Open, label: str = "Ask 3 models", **address: Any) -> AppTest:
    at = open_page(**address)
    button(at, label).click().run()
    assert not at.exception
    return at


def finish(engine: Engine, texts: list[str], expected: str | None = "6", items: int = 1) -> None:
    made = newest(engine)
    told_by = document(made["asked"], texts, expected, items)
    assert writes.answer_prompt(engine, made["id"], made["attempt"], told_by)


def test_from_the_question_to_the_answers(open_page: Open, engine: Engine) -> None:
    at = open_page(pick="MaxEnt", mark="4242")
    assert "Ask 3 models" in labels(at)
    button(at, "Ask 3 models").click().run()
    assert any("No worker is running" in one.value for one in at.warning)
    assert {"Start a worker", "Cancel"} <= set(labels(at))
    made = newest(engine)
    assert [model["label"] for model in made["asked"]["models"]] == ["Base", "MaxEnt", "Oracle"]
    assert made["asked"]["items"] == {"kind": "items", "split": "forget_score", "items": [0]}
    writes.beat_prompt(engine, made["id"], made["attempt"], 3600, 3, 8, "MaxEnt")
    at = open_page(pick="MaxEnt", mark="4242")
    assert "No worker is running" not in " ".join(one.value for one in at.warning)
    told_by = document(made["asked"], ["6", EVIL, "said 4242"], "6")
    writes.answer_prompt(engine, made["id"], made["attempt"], told_by)
    at = open_page(pick="MaxEnt", mark="4242")
    words = told(at)
    assert "⚑ says it · exactly right" in words and "⚑&#8201;6" in words
    assert "⚑&#8201;4242" in words
    assert "<img" not in words and "&lt;img" in words and "&amp;amp;" in words
    assert button(at, "Ask 3 models").disabled, "it is answered from what is stored"
    assert "How likely is the answer, token by token?" in [one.value for one in at.subheader]
    at = open_page(pick="MaxEnt", mark="")
    assert "4242</mark>" not in told(at)


def test_nothing_a_model_says_is_markup() -> None:
    found = marked(EVIL, ["6", "<img src=x onerror=alert(1)>"])
    assert "<img" not in found and found.count("<mark") == 2
    assert found.replace("</mark>", "").count("<") == 2
    assert marked("a < b & c", []) == "a &lt; b &amp; c"


def test_a_failed_request_says_why_and_can_be_asked_again(open_page: Open, engine: Engine) -> None:
    own = {"kind": "My own", "prompt": "six", "pick": "MaxEnt"}
    asked_through(open_page, **own)
    made = newest(engine)
    writes.fail_prompt(engine, made["id"], made["attempt"], "The tokenizer does not know 'six'.")
    at = open_page(**own)
    assert any("does not know 'six'" in one.value.replace("\\", "") for one in at.error)
    button(at, "Ask 3 models again").click().run()
    again = newest(engine)
    assert again["id"] != made["id"]
    writes.cancel_prompt(engine, again["id"])


def test_a_server_without_a_sign_of_life_is_told_apart(open_page: Open, engine: Engine) -> None:
    own = {"kind": "My own", "prompt": "1 × 6 =", "pick": "MaxEnt"}
    asked_through(open_page, **own)
    claim = writes.claim_prompt(engine, "s", -5)
    assert claim is not None
    at = open_page(**own)
    assert any("no sign of life" in one.value for one in at.warning)
    button(at, "Cancel").click().run()
    assert not at.warning and not button(at, "Ask 3 models").disabled
    assert reads.prompts_open(engine) == 0


def test_a_prompt_of_the_readers_carries_its_answer_and_how_it_is_drawn(
    open_page: Open, engine: Engine
) -> None:
    asked_through(
        open_page, kind="My own", prompt="2 × 3 =", expected="6", temperature="0.7", top_p="0.9",
        draw="5", tokens="4", pick="MaxEnt",
    )  # fmt: skip
    asked = newest(engine)["asked"]
    assert asked["items"] == {"kind": "free", "prompt": "2 × 3 =", "expected": "6", "as_question": False}  # fmt: skip
    assert asked["decoding"] == {"temperature": 0.7, "top_p": 0.9, "seed": 5, "max_tokens": 4}


def test_an_empty_prompt_asks_nothing(open_page: Open) -> None:
    at = open_page(kind="My own", pick="MaxEnt")
    assert "Write a prompt to ask it." in told(at)
    assert "Ask 3 models" not in labels(at)


@pytest.mark.parametrize(
    "address",
    [
        {"pick": "<b>nobody</b>"},
        {"item": "forget_score-999999"},
        {"item": "x"},
        {"part": "Nowhere", "kind": "Nothing"},
        {"temperature": "-3", "tokens": "many", "slice_count": "9999"},
        {"kind": "My own", "prompt": "\u202e𝔘𝔫𝔦 <script>\x00" * 50},
    ],
)
def test_an_address_that_makes_no_sense_does_no_harm(open_page: Open, address: Any) -> None:
    assert "?" in told(open_page(**address))


def test_without_a_choice_the_one_that_holds_best_is_asked_and_named(open_page: Open) -> None:
    at = open_page()
    assert any("None is chosen" in one.value for one in at.caption)


def test_a_part_of_a_set_shows_totals_and_where_models_differ(
    open_page: Open, engine: Engine
) -> None:
    at = asked_through(open_page, "Ask 3 models all of it", pick="MaxEnt", slice_count="4")
    made = newest(engine)
    assert made["asked"]["items"] == {"kind": "slice", "split": "forget_score", "count": 4}
    told_by = document(made["asked"], ["6", EVIL, "8"], "6", items=4)
    writes.answer_prompt(engine, made["id"], made["attempt"], told_by)
    at = open_page(pick="MaxEnt", slice_count="4")
    totals = next(one.value for one in at.dataframe if "says it" in one.value)
    # Twice in EVIL stands no 6 of its own: "6 &amp;" is one.
    assert totals[["model", "says it", "right", "wrong"]].values.tolist() == [
        ["Base", 3, 3, 1],
        ["MaxEnt", 3, 0, 4],
        ["Oracle", 0, 0, 4],
    ]
    items = next(one.value for one in at.dataframe if "Prompt" in one.value)
    assert "expect more tokens" not in told(at)
    assert len(items) == 4 and items["Base"].tolist() == ["⚑ 6"] * 3 + ["○ 0"]
    at = open_page(pick="MaxEnt", slice_count="4", slice_show="Only where models differ")
    items = next(one.value for one in at.dataframe if "Prompt" in one.value)
    assert len(items) == 3


def test_answers_without_room_to_be_whole_are_counted(open_page: Open, engine: Engine) -> None:
    asked_through(open_page, "Ask 3 models all of it", pick="MaxEnt", slice_count="3")
    made = newest(engine)
    told_by = document(made["asked"], ["6", "7", "8"], "6", items=3)
    for item in told_by["items"][:2]:
        item["reference"] = ["6", "6"]
    writes.answer_prompt(engine, made["id"], made["attempt"], told_by)
    at = open_page(pick="MaxEnt", slice_count="3")
    assert "Of 3 items 2 expect more tokens than the 1" in told(at)


def test_the_attacked_model_is_queued_once_and_told_of(open_page: Open, engine: Engine) -> None:
    at = open_page(pick="MaxEnt", seed="0")
    assert any("Attacked models: 0 of 1 kept" in one.label for one in at.expander)
    before = reads.counts(engine)["waiting"]
    button(at, "Repeat it and keep the model").click().run()
    assert not at.exception
    assert reads.counts(engine)["waiting"] == before + 1
    assert "Repeat it and keep the model" not in labels(at)
    run = reads.runs_in(engine, ("waiting",)).iloc[0]
    assert run["parameters"]["keep_endpoint"] and run["stage"] == "attack"
    assert f"run {run['id']}" in told(at)
    claim = writes.claim(engine, "w", 3600)
    assert claim is not None
    writes.fail(engine, claim.run_id, claim.attempt, "The disk is full.")
    at = open_page(pick="MaxEnt")
    assert any("disk is full" in one.value for one in at.error)
    button(at, "Try again").click().run()
    claim = writes.claim(engine, "w", 3600)
    assert claim is not None
    ledger = {"steps": 1, "tokens": 1, "flops": 1.0, "seconds": 1.0, "peak_memory": 1, "note": None, "chosen": None}  # fmt: skip
    writes.complete(engine, claim.run_id, claim.attempt, ledger)
    at = open_page(pick="MaxEnt")
    assert "Ask 4 models" in labels(at)
    assert any("Attacked models: 1 of 1 kept" in one.label for one in at.expander)


def test_a_case_holds_all_that_it_says(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    models = [{"run": 3, "fingerprint": "f", "label": "Base", "role": "base"}]
    asked = requests.asked(models, requests.free_prompt("2 × 3 ="), requests.decoding())
    item = document(asked, ["6"], "6")["items"][0]
    found = case_content("quick", asked, item, ["6"])
    assert found["prompt"] == "2 × 3 =" and found["settings"]["temperature"] == 0.0
    assert found["answers"] == [
        {"model": "Base", "run": 3, "text": "6", "leaks": ["6"], "verdict": "says it"}
    ]
    assert found["runs"] == [3] and found["address"].startswith("Playground?")


@pytest.mark.parametrize(
    ("question", "expected", "found"),
    [
        ("7 × 8 =", "56", "7 × 8 ="),
        ("Question: Who?\nAnswer: Ada Love<pad><pad>", " Ada Lovelace<end>", "Question: Who?\nAnswer:"),
        ("Question: What?\nAnswer:<pad>", " red", "Question: What?\nAnswer:"),
        ("a text that goes on", " text that goes on and", "a text that goes on"),
    ],
)  # fmt: skip
def test_a_question_is_listed_without_its_answer(question: str, expected: str, found: str) -> None:
    assert question_of(question, expected) == found
