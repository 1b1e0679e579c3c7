"""lm-eval's tasks on our models: the model as that library asks it, and its results as measurements."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from jinja2 import TemplateError
from jinja2.sandbox import SandboxedEnvironment
from lm_eval import simple_evaluate, utils
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import metric_registry
from lm_eval.models.utils import (
    handle_stop_sequences,
    normalize_gen_kwargs,
    postprocess_generated_text,
)
from lm_eval.tasks import TaskManager
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from tokenizers import Tokenizer

from backend.attached_tasks import NAME
from backend.batches import Loader
from backend.context import RunContext
from backend.continuations import continued
from backend.evaluation import score
from backend.stage import Measured, RunFailed
from backend.task_definitions import contents, is_allowed, metrics_in, taken
from backend.text.pairs import Pair, scored
from backend.text.tokenizers import end_of, parsed

ROWS = 64  # requests of about one length that are passed together
WRITTEN = 256  # tokens of an answer where a task says nothing else
BOOTSTRAPS = 1000  # for the standard errors that have no formula


def measured(run: RunContext, model: Any) -> list[Measured]:
    """The metrics of the asked tasks: `lm_eval_TASK_METRIC` of the split `model`, those of a group's members as categories.

    Raises:
        RunFailed: there is no such task, or its data cannot be had
        UserError: the folder of definitions holds too much, or what could run Python and is not allowed here
    """
    asked = run.request.parameters
    if asked["definitions"] and contents(Path(asked["include_path"])) != asked["definitions"]:
        raise RunFailed(f"The definitions of tasks in {asked['include_path']} changed since the study was submitted; submit it again.")  # fmt: skip
    render_in_sandbox()
    try:
        found = simple_evaluate(
            model=Answering(run, model),
            tasks=list(asked["tasks"]),
            limit=asked["limit"] or None,
            num_fewshot=None if asked["num_fewshot"] < 0 else asked["num_fewshot"],
            task_manager=_manager(asked["include_path"], asked["definitions"], asked["tasks"]),
            bootstrap_iters=BOOTSTRAPS,
            log_samples=False,
        )
    except (KeyError, ValueError, OSError, ImportError, TemplateError) as problem:
        names = ", ".join(asked["tasks"])
        first = (str(problem).strip() or type(problem).__name__).splitlines()[0]
        raise RunFailed(f"lm-eval cannot do {names}: {first[:300]}") from problem
    assert found is not None, "lm-eval gives results to the first process only"
    rows = list(_rows(found, asked["tasks"]))
    if not rows:
        raise RunFailed(f"lm-eval says nothing of {', '.join(asked['tasks'])}.")
    return rows


def render_in_sandbox() -> None:
    """Templates of tasks reach no Python from here on: lm-eval's own are rendered with all of it in reach."""
    own = utils.env
    if isinstance(own, SandboxedEnvironment):
        return
    box = SandboxedEnvironment(
        loader=own.loader,
        undefined=own.undefined,
        keep_trailing_newline=own.keep_trailing_newline,
    )
    box.filters.update(own.filters)
    utils.env = box
    try:
        utils.apply_template("{{ ''.__class__ }}", {})
    except TemplateError:
        return
    raise RunFailed("lm-eval: this version renders templates in a way that cannot be confined; install the one of requirements-lm-eval.txt.")  # fmt: skip


def _manager(folder: str, definitions: str, asked: list[str]) -> TaskManager:
    """What knows the asked tasks, by name: lm-eval would take a path for a definition."""
    allowed = bool(folder) and is_allowed(Path(folder))
    known, _ = _known(folder, definitions, tuple(asked), allowed)
    if absent := [name for name in asked if name not in known.task_index]:
        raise RunFailed(f"lm-eval has no task {absent[0]!r}{f', nor has {folder}' if folder else ''}.")  # fmt: skip
    return known


@lru_cache(maxsize=4)
def _known(
    folder: str, definitions: str, asked: tuple[str, ...], allowed: bool
) -> tuple[TaskManager, TemporaryDirectory[str] | None]:
    """The folder's definitions where all that is asked stands there; else the library's too, which take long to list.

    Of a folder that is not allowed to run Python it is a copy that was looked at, and that is kept as long as this is.
    """
    if not folder:
        return TaskManager(), None
    copy = None if allowed else _copied(Path(folder))
    place = copy.name if copy else folder
    own = TaskManager(include_path=place, include_defaults=False)
    if set(asked) <= set(own.all_tasks):
        return own, copy
    return TaskManager(include_path=place), copy


def _copied(folder: Path) -> TemporaryDirectory[str]:
    found = taken(folder)
    if strange := sorted(name for name in metrics_in(found) if name not in metric_registry):
        valid = ", ".join(sorted(metric_registry))
        raise RunFailed(f"lm-eval has no metric {strange[0]!r} of its own, as {folder} asks for; there are: {valid}.")  # fmt: skip
    place = TemporaryDirectory(prefix="lethe-lm-eval-")
    for path, text in found.items():
        file = Path(place.name) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text)
    return place


def _rows(found: Mapping[str, Any], asked: list[str]) -> Iterator[Measured]:
    """A measurement for each number of a task, its standard error beside it."""
    counts = {name: told["effective"] for name, told in found.get("n-samples", {}).items()}
    groups = found.get("group_subtasks", {})
    within = {member: group for group in asked for member in _members(group, groups)}
    for task, told in found["results"].items():
        named = task if task in asked else within.get(task)
        for key, value in told.items():
            metric, _, filtered = key.partition(",")
            if named is None or not filtered or metric.endswith("_stderr"):
                continue
            if not isinstance(value, int | float):
                continue
            error = told.get(f"{metric}_stderr,{filtered}")
            name = "_".join((NAME, named, metric, *([] if filtered == "none" else [filtered])))
            yield Measured(
                name.replace("-", "_"),
                "model",
                float(value) if np.isfinite(value) else None,
                category="" if task in asked else task,
                standard_error=float(error) if isinstance(error, int | float) else None,
                count=counts.get(task),
            )


def _members(group: str, groups: Mapping[str, list[str]]) -> list[str]:
    """All tasks below a group, those of its subgroups too."""
    own = groups.get(group, [])
    return [name for one in own for name in (one, *_members(one, groups))]


class Answering(TemplateLM):
    """A model as lm-eval asks it: log-probabilities of continuations, and greedy answers.

    Only the scored positions are put through the model's head, so that a large vocabulary takes little memory.
    """

    def __init__(self, run: RunContext, model: Any):
        super().__init__()
        self.run, self.model = run, model
        self.cut: Tokenizer = parsed(run.task.tokenizer)
        self._device = run.device

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        return end_of(self.cut)

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text: the tokenizer's own first token where it puts one, else the end token."""
        own: list[int] = self.cut.encode("").ids
        return own[0] if own else self.eot_token_id

    @property
    def max_length(self) -> int:
        """How many tokens the model can read."""
        return int(self.model.config.max_position_embeddings)

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_: Any
    ) -> list[int]:
        """The tokens of a text, with the tokenizer's own special ones unless they are not wanted or there already."""
        begun = string.startswith(str(self.cut.id_to_token(self.prefix_token_id)))
        wanted = not begun if add_special_tokens is None else add_special_tokens
        ids: list[int] = self.cut.encode(string, add_special_tokens=wanted).ids
        return ids

    def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """Log-probability of every continuation, and whether it is the greedy one."""
        return super().loglikelihood(requests, disable_tqdm=disable_tqdm)

    def _loglikelihood_tokens(self, requests: Any, **_: Any) -> list[tuple[float, bool]]:
        pairs: list[Pair] = [(list(read), np.array(said)) for _, read, said in requests]
        found: list[tuple[float, bool]] = [(0.0, False)] * len(pairs)
        order = sorted(range(len(pairs)), key=lambda i: -len(pairs[i][0]) - len(pairs[i][1]))
        for start in range(0, len(order), ROWS):
            self.run.check_cancelled()
            places = order[start : start + ROWS]
            rows = scored([pairs[i] for i in places], self.max_length)
            told = score(self.model, Loader(rows, self.run.device))
            for place, loss, right in zip(places, told.loss, told.correct, strict=True):
                found[place] = (-float(loss), bool(right))
        return found

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = True) -> list[float]:
        """Log-probability of every whole text, in windows as long as the model can read."""
        return [self._whole(request.args[0]) for request in requests]

    def _whole(self, text: str) -> float:
        windows = get_rolling_token_windows(
            self.tok_encode(text), self.prefix_token_id, self.max_length, 1
        )
        pairs = [(None, *make_disjoint_window(window)) for window in windows]
        return sum(said for said, _ in self._loglikelihood_tokens(pairs))

    def generate_until(self, requests: Any, disable_tqdm: bool = True) -> list[str]:
        """The greedy answer to every prompt, up to the first of its stopping texts.

        Raises:
            RunFailed: a task wants answers that are drawn
        """
        return [self._written(*request.args) for request in requests]

    def _written(self, prompt: str, asked: dict[str, Any]) -> str:
        self.run.check_cancelled()
        told: dict[str, Any] = dict(normalize_gen_kwargs(asked, WRITTEN))
        if told.get("do_sample") or told.get("temperature"):
            raise RunFailed("lm-eval: a task wants answers that are drawn; only greedy ones are given here.")  # fmt: skip
        length = told["max_gen_toks"]
        if length >= self.max_length:
            raise RunFailed(f"lm-eval: answers of {length} tokens leave a model that reads {self.max_length} no room for a question.")  # fmt: skip
        read = self.tok_encode(prompt)[-(self.max_length - length) :]
        question = scored([(read, np.zeros(1, dtype=np.int64))])
        ids = continued(self.model, question, length)[0]
        ends = np.flatnonzero(ids == self.eot_token_id)
        text = self.cut.decode(ids[: ends[0]] if len(ends) else ids, skip_special_tokens=True)
        stops = handle_stop_sequences(told.get("until"), eos=None)
        return postprocess_generated_text(text, stop=stops, think_end_token=None)
