"""The playground's queue: no request is answered twice, lost, or kept for ever."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import text

from db import reads, session, writes
from db.models import now
from db.session import DatabaseProblem
from tests.small_study import database, run, submit
from tests.test_database import go_back_to

pytestmark = pytest.mark.both_databases

ASKED = {"models": [], "items": {}, "decoding": {}}


@pytest.fixture
def engine(tmp_path, monkeypatch):
    return database(tmp_path, monkeypatch)


def ask(engine, key="k"):
    return writes.ask(engine, key, "study", ASKED)


def state(engine, key="k"):
    return reads.prompt_by_key(engine, key)["state"]


def expire(engine):
    with engine.begin() as c:
        late = (now() - timedelta(seconds=5)).strftime("%Y-%m-%d %H:%M:%S.%f")
        c.execute(text("UPDATE prompt_request SET lease_until = :late"), {"late": late})


def test_a_request_goes_from_waiting_to_its_answer(engine):
    made = ask(engine)
    assert (state(engine), reads.prompts_waiting(engine), reads.prompts_open(engine)) == ("waiting", 1, 1)  # fmt: skip
    claim = writes.claim_prompt(engine, "s", 15)
    assert (claim.id, claim.attempt, claim.asked) == (made, 1, ASKED)
    assert writes.beat_prompt(engine, made, 1, 15, 3, 8, "Base")
    assert reads.prompt_progress(engine, made) == ("running", 1, 3, 8, "Base")
    assert writes.answer_prompt(engine, made, 1, {"items": []})
    found = reads.prompt_by_key(engine, "k")
    assert (found["state"], found["answers"], found["stale"]) == ("complete", {"items": []}, False)
    assert reads.prompts_open(engine) == 0


def test_the_same_question_is_stored_once_until_it_failed(engine):
    made = ask(engine)
    assert ask(engine) == made
    claim = writes.claim_prompt(engine, "s", 15)
    assert ask(engine) == made
    writes.fail_prompt(engine, made, claim.attempt, "It broke.")
    again = ask(engine)
    assert again != made and state(engine) == "waiting"
    answer(engine)
    assert ask(engine) == again


def answer(engine):
    claim = writes.claim_prompt(engine, "s", 15)
    assert writes.answer_prompt(engine, claim.id, claim.attempt, {})


def test_servers_that_claim_at_once_never_get_the_same_request(engine):
    for number in range(40):
        ask(engine, f"key {number}")
    taken = {name: [] for name in ("a", "b", "c")}

    def claim_all(name):
        while claim := writes.claim_prompt(engine, name, 15):
            taken[name].append(claim.id)

    threads = [threading.Thread(target=claim_all, args=(name,)) for name in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = sorted(one for mine in taken.values() for one in mine)
    assert found == list(range(1, 41))


def test_a_lost_lease_goes_back_and_the_late_writer_is_fenced_off(engine):
    made = ask(engine)
    first = writes.claim_prompt(engine, "dead", 3600)
    assert writes.reap_prompts(engine) == 0
    expire(engine)
    assert reads.prompt_by_key(engine, "k")["stale"]
    assert writes.reap_prompts(engine) == 1 and state(engine) == "waiting"
    second = writes.claim_prompt(engine, "alive", 15)
    assert second.attempt == 2
    assert not writes.beat_prompt(engine, made, first.attempt, 15)
    assert not writes.answer_prompt(engine, made, first.attempt, {"late": True})
    assert writes.answer_prompt(engine, made, second.attempt, {"late": False})
    assert reads.prompt_by_key(engine, "k")["answers"] == {"late": False}


def test_attempts_are_bounded_and_the_last_failure_says_why(engine):
    ask(engine)
    for _ in range(3):
        assert writes.claim_prompt(engine, "s", 15)
        assert writes.lose_prompts(engine, "s", "it fell over") == 1
    found = reads.prompt_by_key(engine, "k")
    assert found["state"] == "failed"
    assert found["error"] == "Given up after attempt 3, because it fell over."
    assert writes.claim_prompt(engine, "s", 15) is None


def test_a_server_that_is_told_to_stop_costs_no_attempt(engine):
    ask(engine)
    for _ in range(5):
        claim = writes.claim_prompt(engine, "s", 15)
        assert writes.return_prompt(engine, claim.id, claim.attempt)
    for _ in range(5):
        assert writes.claim_prompt(engine, "s", 15)
        writes.lose_prompts(engine, "s", "its worker stopped", stopping=True)
    assert state(engine) == "waiting"


def test_a_cancelled_request_is_asked_anew_and_its_server_notices(engine):
    made = ask(engine)
    claim = writes.claim_prompt(engine, "s", 15)
    assert writes.cancel_prompt(engine, made)
    assert not writes.beat_prompt(engine, made, claim.attempt, 15)
    assert reads.prompt_by_key(engine, "k") is None
    assert ask(engine) != made
    assert not writes.cancel_prompt(engine, made)


def test_a_waiting_request_knows_how_many_are_before_it(engine):
    for key in "abc":
        ask(engine, key)
    writes.claim_prompt(engine, "s", 15)
    assert [reads.prompt_by_key(engine, key)["ahead"] for key in "abc"] == [0, 1, 2]


def test_old_finished_requests_are_dropped_and_open_ones_stay(engine, monkeypatch):
    monkeypatch.setattr("db.writes.prompts.KEPT", 3)
    first = ask(engine, "first")
    writes.claim_prompt(engine, "slow", 15)
    for number in range(6):
        ask(engine, str(number))
        answer(engine)
    kept = [key for key in ("first", *"012345") if reads.prompt_by_key(engine, key)]
    assert kept == ["first", "3", "4", "5"]
    assert writes.answer_prompt(engine, first, 1, {})
    # It is the oldest by its number, so now that it is finished it goes first.
    assert [key for key in ("first", *"345") if reads.prompt_by_key(engine, key)] == list("345")


def test_what_nobody_can_answer_fails_with_the_sentence(engine):
    ask(engine)
    assert writes.fail_waiting_prompts(engine, "Nothing could answer here.") == 1
    assert reads.prompt_by_key(engine, "k")["error"] == "Nothing could answer here."


def test_a_run_outside_of_studies_is_added_once_and_goes_with_its_model(engine):
    submit(engine, run("a"), run("b", "a"))
    kept = run("e", "b", stage="attack", inputs={"base": ["a"]})
    added = writes.add_run(engine, kept)
    assert writes.add_run(engine, kept) == added == reads.run_by_fingerprint(engine, "e")
    assert reads.run(engine, added)["studies"] == []
    assert reads.run(engine, added)["parent"]["fingerprint"] == "b"
    with pytest.raises(DatabaseProblem, match="not there any more"):
        writes.add_run(engine, run("f", "gone"))
    assert writes.delete_study(engine, "study").runs == 3
    assert reads.existing(engine) == set()


def test_a_run_whose_model_another_study_has_stays(engine):
    submit(engine, run("a"), run("b", "a"))
    submit(engine, run("a"), run("b", "a"), name="other")
    writes.add_run(engine, run("e", "b", stage="attack"))
    assert writes.delete_study(engine, "study").runs == 0
    assert reads.existing(engine) == {"a", "b", "e"}


def test_the_schema_goes_back_and_forth(engine):
    go_back_to("0003")
    session._engines.clear()
    again = session.open_database(create=True)
    assert reads.prompts_open(again) == 0
