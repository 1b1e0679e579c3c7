"""What a viewer may not do, no button offers: it is grey and says which role it takes."""

from typing import Any

import pytest
from sqlalchemy import Engine

from db import reads, writes
from tests.report_data import engine, small_home
from tests.small_study import run, submit, submit_real
from tests.test_pages import PAGES
from tests.test_sign_in import opened

__all__ = ["engine", "small_home"]  # fixtures
VIEWS: list[tuple[str, dict[str, Any]]] = [
    *((page, {"study": "quick"}) for page in PAGES),
    ("1_Frontier.py", {"study": "quick", "pick": "MaxEnt"}),
    ("3_Runs.py", {"run": "3"}),
    ("3_Runs.py", {"show": "Trash"}),
    ("4_Compare.py", {"study": "quick", "pick": ["Base", "MaxEnt"]}),
    ("8_Reports.py", {"report": "1"}),
    *(("9_Data.py", {"part": part}) for part in ("Export", "Storage")),
]
HARMLESS = {"Sign out", "Got it", "Clear selection", "Present"}  # they change nobody else's pages


@pytest.fixture
def full(engine: Engine) -> Engine:
    """Something on every page that could be changed."""
    report = writes.create_report(engine, "Mine")
    writes.add_block(engine, report, "text", "One", {"text": "as measured"})
    submit(engine, run("gone"), name="gone")
    writes.trash_study(engine, "gone")
    later = submit_real(engine)  # nobody does it
    writes.trash_runs(engine, [int(reads.study_runs(engine, later.study_id)["id"].iloc[-1])])
    for _ in range(2):
        held = writes.claim(engine, "w", 3600.0)
    assert isinstance(held, writes.Claim)
    assert writes.fail(engine, held.run_id, held.attempt, "It broke.")
    return engine


def test_no_button_that_works_for_a_viewer_changes_anything(full: Engine) -> None:
    offered: set[str] = set()
    for_others: set[str] = set()
    for page, address in VIEWS:
        for who, seen in (("vic", offered), ("ron", for_others)):
            at = opened(page, who, **address)
            assert not at.exception, at.exception[0].value
            seen |= {button.label for button in at.button if not button.disabled}
    assert offered <= HARMLESS
    assert len(for_others - HARMLESS) > 15, "there was something to offer"
