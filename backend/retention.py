"""Whose model nobody needs again, and may go to make room: its numbers stay, and it can be trained again."""

from typing import Any

from sqlalchemy import Engine

from backend.reports.pins import named_runs
from backend.results import frontier_document
from backend.stage import UserError
from db import reads

ALWAYS_KEPT = ("base", "oracle")
ASKED_DAYS = 7.0


def dispensable(engine: Engine) -> set[int]:
    """The complete runs whose stored models nothing speaks for: all of them but those that are kept.

    So there go dominated configurations, those too that are on the front at another budget only, trials of searches, kept
    endpoints of attacks, teachers of ensembles, and models that only older revisions have.

    Kept are bases and oracles; what an unfinished run starts from; configurations on the front of a study, or whose
    place is not known yet; runs with a tag or a note, and those that a report names, or the models that they looked at;
    what was asked in the playground in the last days; all models of a study that cannot be read today.
    """
    runs = reads.run_states(engine)
    always = set(runs.loc[runs["stage"].isin(ALWAYS_KEPT), "id"].astype(int))
    stored = reads.stored_models(engine)
    return stored - always - reads.started_from(engine) - _evidence(engine) - _on_fronts(engine)


def _evidence(engine: Engine) -> set[int]:
    """What somebody pointed at: of evaluations and attacks the model too that they looked at."""
    found = reads.marked(engine) | named_runs(reads.block_contents(engine))
    found |= reads.asked_models(engine, ASKED_DAYS)
    looked_at = reads.parents(engine)
    return found | {looked_at[run] for run in found if run in looked_at}


def _on_fronts(engine: Engine) -> set[int]:
    """The models of every study's newest revision that are not known to be dominated."""
    found: set[int] = set()
    for name in reads.studies(engine)["name"]:
        found |= _undominated(engine, str(name))
    return found


def _undominated(engine: Engine, study: str) -> set[int]:
    try:
        document: dict[str, Any] = frontier_document(engine, study, with_siblings=False)
    except UserError:  # a plugin that is not here, say
        record = reads.study(engine, study)
        return set() if record is None else {int(run) for run in reads.study_runs(engine, record.id)["id"]}  # fmt: skip
    kept = (row["models"] for row in document["rows"] if row["on_front"] is not False)
    return {int(model) for models in kept for model in models if model is not None}
