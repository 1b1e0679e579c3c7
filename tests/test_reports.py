"""Reports hold their blocks and say who did what."""

import pytest

from db import reads, writes
from db.session import DatabaseProblem, require_database

pytestmark = pytest.mark.both_databases


def test_a_report_keeps_its_blocks_in_order_and_its_trail():
    engine = require_database()
    made = writes.create_report(engine, "Review of May", author="A")
    writes.add_block(engine, made, "text", "Why", {"text": "Because."}, author="B")
    writes.add_block(engine, made, "table", "Numbers", {"columns": ["a"], "rows": [[1]]})
    found = reads.report(engine, made)
    assert found is not None and found["frozen_at"] is None
    assert [block["title"] for block in found["blocks"]] == ["Why", "Numbers"]
    assert found["blocks"][0]["content"] == {"text": "Because."}
    trail = reads.report_events(engine, made)
    assert trail["kind"].tolist() == ["created", "block added", "block added"]
    assert trail["author"].tolist() == ["A", "B", ""]
    assert reads.reports(engine)["blocks"].tolist() == [2]


def test_a_block_for_no_report_is_refused():
    engine = require_database()
    with pytest.raises(DatabaseProblem, match="no report 7"):
        writes.add_block(engine, 7, "text", "Why", {"text": ""})
    assert reads.report(engine, 7) is None
