"""All writes: short transactions, every transition of a run one guarded UPDATE and one event."""

from db.writes.control import (
    Deleted,
    delete_study,
    request_cancel,
    retry,
    set_paused,
    set_priority,
)
from db.writes.queue import (
    Claim,
    cancelled,
    claim,
    complete,
    fail,
    hand_back,
    heartbeat,
    lose,
    reap,
)
from db.writes.results import add_artifacts, begin, record
from db.writes.rows import add_event
from db.writes.submission import Submitted, submit
from db.writes.workers import beat_worker, register_worker, request_stop, stop_worker

__all__ = [
    "Claim",
    "Deleted",
    "Submitted",
    "add_artifacts",
    "add_event",
    "beat_worker",
    "begin",
    "cancelled",
    "claim",
    "complete",
    "delete_study",
    "fail",
    "hand_back",
    "heartbeat",
    "lose",
    "reap",
    "record",
    "register_worker",
    "request_cancel",
    "request_stop",
    "retry",
    "set_paused",
    "set_priority",
    "stop_worker",
    "submit",
]
