"""What an attacker and a search chose is said in words that need no manual."""

from streamlit.testing.v1 import AppTest

from backend import study
from db.session import require_database
from pages.components.attack_words import choice_words, search_words
from tests.seed_database import seed_study
from tests.test_pages import ROOT, SMALL, told


def test_a_choice_names_steps_and_learning_rate() -> None:
    assert choice_words({"step": 40, "parameters": {"learning_rate": 0.001}}) == "after 40 attack steps at learning rate 0.001"  # fmt: skip
    assert choice_words({"step": 1, "parameters": {}}) == "after 1 attack step"
    assert choice_words({"step": 0, "parameters": {"learning_rate": 0.001}}) == "before the first attack step"  # fmt: skip
    assert choice_words({"step": 0, "parameters": {"bits": 4}}, has_steps=False) == "at once"


def test_a_search_says_what_was_tried_and_who_decided() -> None:
    search = {"trials": 6, "space": {"learning_rate": [3e-5, 1e-2]}, "utility_floor": 0.95}
    source = {"recipes": [{"suppress": "npo", "search": search}], "attacks": []}
    document = study.resolve({**study.load("quick"), **source}).document
    (said,) = search_words(document["configurations"][-1]["stages"])
    assert said.startswith(
        "Best of 6: 6 trials of npo with different values of learning rate were trained"
    )
    assert "validation data" in said and "0.95" in said
    assert search_words([{"name": "npo", "parameters": {}}]) == []


def test_why_says_when_the_attacker_took_the_model_and_the_table_what_a_row_adds() -> None:
    seed_study(require_database(), SMALL)
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    at.query_params["study"], at.query_params["pick"] = "quick", "MaxEnt"
    at.switch_page("pages/1_Frontier.py").run()
    assert not at.exception
    raw = next(d.value for d in at.dataframe if "attack steps" in d.value)
    assert raw["attack steps"].between(0, 150).all()
    assert raw["learning rate"].isin([1e-3, 3e-3]).all()
    said = told(at)
    assert f"relearn, seed 0, after {raw['attack steps'].iloc[0]} attack step" in said
    assert f"at learning rate {raw['learning rate'].iloc[0]:g}: recovery = " in said
    assert "decided on the validation part" in said
    listed = next(d for d in at.dataframe if "hypervolume_contribution" in d.value)
    assert "Hypervolume it adds" in listed.proto.columns
