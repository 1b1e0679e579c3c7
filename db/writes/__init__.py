"""All writes: short transactions, every transition of a run one guarded UPDATE and one event."""

from db.writes.access import (
    keep_token,
    revoke_token,
)
from db.writes.again import (
    remove_models,
)
from db.writes.control import (
    Deleted,
    delete_study,
    identity,
    request_cancel,
    retry,
    set_flag,
    set_paused,
    set_priority,
)
from db.writes.endings import (
    Ended,
    take_ended,
)
from db.writes.imports import (
    Imported,
    forget_files,
    import_study,
)
from db.writes.leases import (
    Lease,
    leases,
    reap,
)
from db.writes.logs import (
    keep_log,
)
from db.writes.machines import (
    sample_machine,
    tidy_samples,
)
from db.writes.marks import (
    add_tag,
    delete_view,
    remove_tag,
    rename_view,
    save_note,
    save_view,
    set_archived,
)
from db.writes.prompts import (
    PromptClaim,
    answer_prompt,
    ask,
    beat_prompt,
    cancel_prompt,
    claim_prompt,
    fail_prompt,
    fail_waiting_prompts,
    lose_prompts,
    reap_prompts,
    return_prompt,
)
from db.writes.queue import (
    Claim,
    NoRoom,
    cancelled,
    claim,
    complete,
    fail,
    hand_back,
    heartbeat,
    lose,
)
from db.writes.report_blocks import (
    edit_block,
    move_block,
    remove_block,
)
from db.writes.reports import (
    add_block,
    archive_report,
    create_report,
    decide,
    freeze_report,
    rename_report,
)
from db.writes.results import (
    add_artifacts,
    begin,
    record,
)
from db.writes.rows import (
    add_event,
    reblock,
)
from db.writes.submission import (
    Submitted,
    add_run,
    submit,
)
from db.writes.trash import (
    empty_trash,
    restore_runs,
    restore_study,
    trash_runs,
    trash_study,
)
from db.writes.workers import (
    beat_worker,
    register_worker,
    request_stop,
    stop_worker,
)

__all__ = [
    "Claim",
    "NoRoom",
    "Ended",
    "Lease",
    "Deleted",
    "Imported",
    "PromptClaim",
    "Submitted",
    "add_artifacts",
    "add_block",
    "add_event",
    "add_run",
    "add_tag",
    "answer_prompt",
    "archive_report",
    "ask",
    "beat_prompt",
    "beat_worker",
    "begin",
    "cancel_prompt",
    "cancelled",
    "claim",
    "claim_prompt",
    "complete",
    "create_report",
    "decide",
    "delete_study",
    "delete_view",
    "edit_block",
    "empty_trash",
    "fail",
    "fail_prompt",
    "fail_waiting_prompts",
    "forget_files",
    "freeze_report",
    "hand_back",
    "heartbeat",
    "identity",
    "leases",
    "import_study",
    "keep_log",
    "keep_token",
    "lose",
    "lose_prompts",
    "move_block",
    "reap",
    "reap_prompts",
    "reblock",
    "record",
    "register_worker",
    "remove_block",
    "remove_tag",
    "remove_models",
    "rename_report",
    "rename_view",
    "request_cancel",
    "request_stop",
    "restore_runs",
    "restore_study",
    "retry",
    "return_prompt",
    "revoke_token",
    "sample_machine",
    "save_note",
    "save_view",
    "set_archived",
    "set_flag",
    "set_paused",
    "set_priority",
    "stop_worker",
    "submit",
    "take_ended",
    "tidy_samples",
    "trash_runs",
    "trash_study",
]
