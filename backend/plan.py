"""The runs of a checked study in the order in which they are queued, each named by its fingerprint."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from backend import catalogue
from backend.attached_tasks import NAME as LM_EVAL
from backend.flops import is_mixture
from backend.naming import readable
from backend.part_versions import STAGE_VERSIONS, code_of, current_version, parts_of, used_parts
from backend.registry import SLOTS
from backend.search import trials
from backend.settings import build_task, outlined_task
from backend.stage import UserError
from backend.study_document import commonest, declared_metrics

SEARCH_VERSION = 2  # raised after a change to how a search chooses
TWIN_SEED = 10_000  # the second oracle of seed s is trained with seed s + TWIN_SEED
SIBLING_SEED = 20_000  # the k-th sibling of a suppression of seed s has seed s + k · SIBLING_SEED


@dataclass(frozen=True)
class PlannedRun:
    """One run to be: what the queue stores of it."""

    fingerprint: str
    stage: str
    name: str
    version: int
    parameters: dict[str, Any]
    setting: dict[str, Any]
    precision: str
    seed: int
    parent: str | None = None
    inputs: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Suppression:
    """A recipe's suppress stage, so that it can be repeated with other seeds; `parents` by the study's seeds."""

    name: str
    parameters: dict[str, Any]
    parents: Mapping[int, str | None]
    tried: list[str]


def fingerprint(identity: dict[str, Any]) -> str:
    """The name of a run, 20 hexadecimal digits: a hash of everything that its numbers depend on."""
    text = json.dumps(identity, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def without_neutral(parameters: dict[str, Any], neutral: dict[str, Any]) -> dict[str, Any]:
    """Parameters that differ from their neutral value: one that is added later changes no old fingerprint."""
    absent = object()
    return {k: v for k, v in parameters.items() if neutral.get(k, absent) != v}


def _identity(parameters: dict[str, Any], neutral: dict[str, Any]) -> dict[str, Any]:
    """A run's parameters without the neutral ones, those of its options included."""
    found = without_neutral(parameters, neutral)
    if "metrics" in found:
        named = [catalogue.part("metrics", name) for name in found["metrics"]]
        found["metrics"] = [part.declared["formerly"] or part.name for part in named]
    for slot in SLOTS:
        if slot in found:
            option = catalogue.part("options", found[slot]["name"])
            found[slot] = without_neutral(found[slot], option.neutral)
    if "search" in found:
        found["search"] = {**found["search"], "version": SEARCH_VERSION}
    return found


def expand(study: dict[str, Any], outline: bool = False) -> tuple[dict[str, Any], list[PlannedRun]]:
    """The document and the runs of a checked study.

    Queued base, oracle, their cells, then configuration by configuration, each followed by its cells.
    """
    planner = _Planner(study, outline)
    planner.anchors()
    for recipe in study["recipes"]:
        planner.recipe(recipe)
    return planner.document(), list(planner.runs.values())


class _Planner:
    """Collects runs in order, each fingerprint once."""

    def __init__(self, study: dict[str, Any], outline: bool):
        self.study = study
        build = outlined_task if outline else build_task
        self.task = build(study["setting"]["name"], study["setting"]["parameters"])
        self.setting = {**study["setting"], "content_hash": self.task.content_hash}
        self.runs: dict[str, PlannedRun] = {}
        self.configurations: list[dict[str, Any]] = []
        self.base: dict[int, str] = {}
        self.oracle: dict[int, str] = {}
        self.code: dict[str, str] = {}  # of the plugins that any run executes
        self.suppression: _Suppression | None = None  # of the recipe that is being planned

    def anchors(self) -> None:
        """Base and oracle of every seed, then their cells."""
        seeds = self.study["seeds"]
        self.base = {seed: self._model("base", "base", seed, {}, None) for seed in seeds}
        self._configuration("base", [], self.base)
        twins = {}
        if self.task.anchor == "oracle":
            self.oracle = {seed: self._model("oracle", "oracle", seed, {}, None) for seed in seeds}
            self._configuration("oracle", [], self.oracle)
        elif self.study["oracles"] == 2:
            raise UserError(f"oracles = 2: {_no_oracle(self.setting['name'])}.")
        if self.study["oracles"] == 2:
            twins = {s: self._model("oracle", "oracle", s + TWIN_SEED, {}, None) for s in seeds}
        if twins:
            self.configurations[-1]["twins"] = {str(seed): run for seed, run in twins.items()}
        for model in (*self.base.values(), *self.oracle.values()):
            self._audit(model, self.runs[model].seed)
            self._cells(model, "forget")
        for seed, model in twins.items():
            self._audit(model, seed)
            self._cells(model, "forget", seed)
        if self.study["placebo"]:
            for model in self.base.values():
                self._cells(model, "placebo")

    def recipe(self, recipe: dict[str, Any]) -> None:
        """Every prefix of a recipe, with its cells unless an earlier recipe had it."""
        parents: dict[int, str] = dict(self.base)
        stages: list[dict[str, Any]] = []
        self.suppression = None
        for stage, chosen in recipe.items():
            parameters = {key: value for key, value in chosen.items() if key != "name"}
            name = chosen["name"]
            self._fits(name)
            stages = [*stages, {"stage": stage, "name": name, "parameters": parameters}]
            above = dict.fromkeys(parents) if stage == "pretrain" else parents
            tried = self._trials(stage, name, parameters, above)
            models: dict[int, str] = {}
            for asked in _requests(parameters):
                last = models or above
                models = {s: self._model(stage, name, s, asked, last[s], tried) for s in parents}
            if stage == "suppress":
                self.suppression = _Suppression(name, parameters, above, tried)
            if self._configuration(name, stages, models):
                for model in models.values():
                    self._audit(model, self.runs[model].seed, parameters.get("labels"))
                    self._cells(model, "forget")
            parents = models

    def _fits(self, name: str) -> None:
        """UserError where a method works on other families of models only than the setting's."""
        families = catalogue.part("methods", name).declared["families"]
        family = self.task.model["family"]
        if (
            not families
            or family in families
            or ("dense" in families and not is_mixture(self.task.model))
        ):
            return
        valid = (
            "models without experts"
            if "dense" in families
            else f"the family {' or '.join(families)}"
        )
        raise UserError(f"{name} works on {valid} only; the setting has family = {family!r}.")

    def _trials(
        self, stage: str, name: str, parameters: dict[str, Any], parents: Mapping[int, str | None]
    ) -> list[str]:
        """The trials of a stage's search, on the study's first seed: evaluated, never attacked."""
        if "search" not in parameters:
            return []
        fixed = {key: value for key, value in parameters.items() if key != "search"}
        seed = self.study["seeds"][0]
        method = catalogue.part("methods", name)
        return [
            self._model(stage, name, seed, {**fixed, **values}, parents[seed])
            for values in trials(method, parameters["search"])
        ]

    def _model(
        self,
        stage: str,
        name: str,
        seed: int,
        parameters: dict[str, Any],
        parent: str | None,
        tried: Sequence[str] = (),
        family: int | None = None,
    ) -> str:
        """A model's run and its evaluation; `family` is the seed of its base and oracle where it has another itself."""
        inputs, neutral = {}, {}
        if stage not in STAGE_VERSIONS:
            part = catalogue.part("methods", name)
            neutral = part.neutral
            inputs = self._inputs(part, parameters, seed if family is None else family)
            inputs |= {"trials": list(tried)} if tried else {}
            # What has no parent is judged by the base, which costs nothing.
            inputs |= {"base": [self.base[seed]]} if tried and stage == "pretrain" else {}
        version = current_version(stage, name, used_parts(stage, parameters))
        model = self._add(stage, name, version, neutral, parameters, seed, parent, inputs)
        asked = {"metrics": list(self.task.metrics)}
        version = current_version("evaluate", "standard", used_parts("evaluate", asked))
        self._add("evaluate", "standard", version, {}, asked, seed, model, {})
        return model

    def _inputs(
        self, part: catalogue.Part, parameters: dict[str, Any], seed: int
    ) -> dict[str, list[str]]:
        known = {"base": self.base, "oracle": self.oracle}
        if "oracle" in part.needs and self.task.anchor == "floor":
            condition = part.needs["oracle"]
            if all(parameters.get(key) == value for key, value in condition.items()):
                raise UserError(f"{part.name} needs an oracle, but {_no_oracle(self.setting['name'])}.")  # fmt: skip
        return {
            role: self._siblings(part, parameters, seed)
            if role == "teachers"
            else [known[role][seed]]
            for role, condition in part.needs.items()
            if all(parameters.get(key) == value for key, value in condition.items())
        }

    def _siblings(self, part: catalogue.Part, parameters: dict[str, Any], seed: int) -> list[str]:
        """The recipe's suppression of the same parent with other seeds: all teachers but the parent itself."""
        told = self.suppression
        if told is None:
            raise UserError(
                f"{part.name}: an ensemble of teachers repeats a suppression; the recipe has no suppress stage."
            )
        if "requests" in told.parameters:
            raise UserError(f"{part.name}: an ensemble of teachers does not go with requests.")
        if "teachers" not in parameters:
            raise UserError(
                f"{part.name}: the number of teachers cannot be searched; give a list to compare several."
            )
        seeds = [seed + k * SIBLING_SEED for k in range(1, parameters["teachers"])]
        above = told.parents[seed]
        return [
            self._model("suppress", told.name, s, told.parameters, above, told.tried, seed)
            for s in seeds
        ]

    def _audit(self, model: str, family: int, labels: dict[str, Any] | None = None) -> None:
        """The metrics that the study asks for beside the setting's own, compared with base and oracle of a seed."""
        self._attached(model)
        names = [name for name in self.study["audit"] if name not in self.task.metrics]
        if not names:
            return
        asked = {"metrics": names, **({"labels": labels} if labels else {})}
        inputs = {"base": [self.base[family]]}
        inputs |= {"oracle": [self.oracle[family]]} if self.oracle else {}
        version = current_version("evaluate", "audit", used_parts("evaluate", asked))
        seed = self.runs[model].seed
        self._add("evaluate", "audit", version, {}, asked, seed, model, inputs)

    def _attached(self, model: str) -> None:
        """The tasks of lm-eval that the study attaches; where their definitions lie is no part of a run's name."""
        asked = self.study.get("lm_eval", {})
        if not asked:
            return
        if not self.task.tokenizer:
            raise UserError(f"lm_eval: the setting {self.setting['name']} has no tokenizer, so no model of it reads lm-eval's texts.")  # fmt: skip
        neutral = {"include_path": asked["include_path"]}
        version = current_version("evaluate", LM_EVAL)
        seed = self.runs[model].seed
        self._add("evaluate", LM_EVAL, version, neutral, dict(asked), seed, model, {})

    def _cells(self, model: str, target: str, family: int | None = None) -> None:
        """The attack cells of a model; `family` is the seed of its base where it has another itself."""
        seed = self.runs[model].seed
        for attack in self.study["attacks"]:
            if self.runs[model].stage == "wrap" and attack["counts"] == "weights":
                continue  # who holds the weights takes the wrapper off: its parent's cells count
            part = catalogue.part("attacks", attack["name"])
            for cell in attack["grid"]:
                parameters = {**cell, "target": target}
                neutral = {**part.neutral, "target": "forget"}
                inputs = self._inputs(part, parameters, seed if family is None else family)
                self._add(
                    "attack", part.name, part.version, neutral, parameters, seed, model, inputs
                )

    def _add(
        self,
        stage: str,
        name: str,
        version: int,
        neutral: dict[str, Any],
        parameters: dict[str, Any],
        seed: int,
        parent: str | None,
        inputs: dict[str, list[str]],
    ) -> str:
        setting_part = catalogue.part("settings", self.setting["name"])
        used = parts_of(stage, name, parameters)
        code = code_of((("settings", self.setting["name"]), *used))
        self.code |= code
        setting = {**self.setting, **({"code": code} if code else {})}
        named = {
            **setting,
            "parameters": without_neutral(self.setting["parameters"], setting_part.neutral),
        }
        identity = {
            "setting": named,
            "stage": stage,
            "name": name,
            "version": version,
            "parameters": _identity(parameters, neutral),
            "precision": self.study["precision"],
            "seed": seed,
            "parent": parent,
            "inputs": inputs,
        }
        key = fingerprint(identity)
        identity |= {"setting": setting, "parameters": parameters}
        self.runs.setdefault(key, PlannedRun(fingerprint=key, **identity))
        return key

    def _configuration(
        self, method: str, stages: list[dict[str, Any]], models: dict[int, str]
    ) -> bool:
        """Note a configuration once; False where an earlier recipe had the same prefix."""
        key = json.dumps(stages, sort_keys=True) if stages else method
        if any(known["key"] == key for known in self.configurations):
            return False
        runs = {str(seed): run for seed, run in models.items()}
        self.configurations.append({"key": key, "method": method, "stages": stages, "runs": runs})
        return True

    def document(self) -> dict[str, Any]:
        """The resolved study as it is stored and exported."""
        labels = dict(readable(self.configurations))
        configurations = [
            {**c, "key": fingerprint({"key": c["key"]}), "label": labels[c["key"]]}
            for c in self.configurations
        ]
        guesses = commonest(self.task)
        setting = {
            **self.setting,
            "label": catalogue.part("settings", self.setting["name"]).label,
            "forget_metric": self.task.forget_metric,
            "retain_metric": self.task.retain_metric,
            "placebo": "placebo_score" in self.task.splits,
            "anchor": self.task.anchor,
            **({"absent": self.task.absent} if self.task.absent else {}),
        }
        return {
            **{key: value for key, value in self.study.items() if key != "setting"},
            "setting": setting,
            "metrics": declared_metrics(self.study, self.task),
            "subjects": {"forget_score": list(self.task.splits["forget_score"].subjects)},
            "placebo_commonest": guesses[0] if guesses else None,
            "placebo_commonest_of": guesses,
            "configurations": configurations,
            **({"code": dict(sorted(self.code.items()))} if self.code else {}),
        }


def _no_oracle(setting: str) -> str:
    return f"the setting {setting} takes a released model as it is, so no model without the forget data can be trained"


def _requests(parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """A stage's parameters at every request, in order; as they are where all is asked for at once."""
    if "requests" not in parameters:
        return [parameters]
    count = parameters["requests"]
    same = {key: value for key, value in parameters.items() if key != "requests"}
    return [{**same, "request": [part, count]} for part in range(1, count + 1)]


def as_rows(runs: list[PlannedRun]) -> list[dict[str, Any]]:
    """The runs as plain values, the form in which the queue takes them."""
    return [asdict(run) for run in runs]
