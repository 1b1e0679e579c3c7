"""A small study that is really trained, and requests to its models, for tests of the playground."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from backend import child, plan, study
from backend.playground import requests
from db import reads, session, writes
from tests.small_study import SETTING

SOURCE: dict[str, Any] = {
    "name": "asked",
    "setting": {**SETTING, "base_steps": 150, "factors": 8},
    "recipes": [{"suppress": {"name": "max_ent", "steps": 20}}],
    "attacks": [{"name": "relearn", "learning_rate": [3e-3], "steps": 20}],
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The study, trained once for a module's tests."""
    folder = tmp_path_factory.mktemp("asked")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LETHE_HOME", str(folder))
        patch.delenv("LETHE_DATABASE_URL", raising=False)
        trained_study(session.require_database(), folder)
        yield folder


@pytest.fixture
def trained(home: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Its database."""
    monkeypatch.setenv("LETHE_HOME", str(home))
    return session.require_database()


def trained_study(engine: Engine, home: Path) -> None:
    """Submit the study and do all its runs in this process."""
    resolved = study.resolve(SOURCE)
    rows = plan.as_rows(resolved.runs)
    writes.submit(engine, name="asked", document=resolved.document, runs=rows)
    do_runs(engine, home)


def do_runs(engine: Engine, home: Path) -> None:
    """All runs that are ready, in this process."""
    writes.register_worker(engine, "tests", "here", os.getpid(), 1)
    while claim := writes.claim(engine, "tests", 3600):
        assert child.run_once(engine, claim.run_id, claim.attempt, home) == "complete"
    writes.stop_worker(engine, "tests")


def model_runs(engine: Engine) -> dict[str, dict[str, Any]]:
    """The rows of base, oracle and suppressed model by stage, and the attack's on the latter."""
    record = reads.study(engine, "asked")
    runs = reads.study_runs(engine, record.id)
    found = {
        stage: reads.run(engine, int(runs[runs["stage"] == stage]["id"].iloc[0])) or {}
        for stage in ("base", "suppress", "oracle")
    }
    attacks = runs[(runs["stage"] == "attack") & (runs["parent"] == found["suppress"]["id"])]
    return found | {"attack": reads.run(engine, int(attacks["id"].iloc[0])) or {}}


def asked_models(engine: Engine, *stages: str) -> list[dict[str, Any]]:
    """Models of these stages as a request names them."""
    runs = model_runs(engine)
    return [
        {"run": runs[s]["id"], "fingerprint": runs[s]["fingerprint"], "label": s, "role": s}
        for s in stages or ("base", "suppress", "oracle")
    ]


def request(engine: Engine, items: dict[str, Any] | None = None, **how: Any) -> requests.Asked:
    """A checked request to base, suppressed model and oracle."""
    chosen = items or requests.a_slice("forget_score", 6)
    return requests.asked(
        asked_models(engine), chosen, requests.decoding(**{"max_tokens": 1, **how})
    )


def queue(engine: Engine, asked: requests.Asked) -> int:
    """Put a request into the queue; its id."""
    return writes.ask(engine, requests.key_of(asked), "asked", asked)
