"""From a study file to a plan: read, check against the catalogue, expand grids, name every run by its fingerprint.

No torch and no database here: `submit --dry-run` and the Launch page show the plan in about a second.
"""

import itertools
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend import catalogue
from backend.attached_tasks import attached
from backend.combining import repeats, slots, why_not
from backend.plan import PlannedRun, expand
from backend.registry import SLOTS
from backend.search import checked
from backend.stage import UserError

RECIPE_STAGES = ("pretrain", "suppress", "robustify", "wrap")
STUDY_KEYS = ("name", "question", "setting", "seeds", "oracles", "precision", "placebo", "metrics", "lm_eval", "recipes", "attacks")  # fmt: skip
LABEL_KEYS = {"label_fraction": 1.0, "label_source": "true", "label_noise": 0.1}
LARGEST_SEED = (
    2_000_000_000  # twins and siblings have larger ones, which the database's column still holds
)
LONGEST_QUESTION = 300  # what a study asks, for people; it changes no run
PRECISIONS = ("fp32", "bf16", "fp16", "pure_bf16", "pure_fp16")


@dataclass(frozen=True)
class Plan:
    """A resolved study: the document that is stored and exported, and its runs, parents before children."""

    document: dict[str, Any]
    runs: list[PlannedRun]


def load(name_or_path: str, overrides: list[str] | None = None) -> dict[str, Any]:
    """The source of a shipped study or of a TOML file, with `KEY=VALUE` overrides laid over it.

    Raises:
        UserError: there is no such study, the TOML is damaged, or an override does not fit
    """
    path = _find(name_or_path)
    try:
        source = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise UserError(f"{path.name} is not valid TOML: {problem}.") from problem
    source.setdefault("name", path.stem)
    for override in overrides or []:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise UserError(f"--set {override!r} must have the form KEY=VALUE.")
        put(source, key, _value(text))
    return source


def put(source: dict[str, Any], key: str, value: Any) -> None:
    """Lay a value over a study's source under a dotted key, in which numbers index lists; UserError where it does not fit."""
    keys: list[str] = [part.strip() for part in key.split(".")]
    holder: Any = source
    for depth, part in enumerate(keys[:-1]):
        holder = _descend(holder, part, ".".join(keys[: depth + 1]))
    last = keys[-1]
    if isinstance(holder, list):
        holder[_index(holder, last, key)] = value
    elif isinstance(holder, dict):
        holder[last] = value
    else:
        raise UserError(f"--set {key}: there is no table to set {last!r} in.")


def resolve(source: dict[str, Any], outline: bool = False) -> Plan:
    """The plan of a study's source; UserError says in one sentence what is wrong with it.

    With `outline` data of the hub may be absent: the document's setting says under `absent` what is, and the plan can be
    looked at, not run.
    """
    check_keys(source)
    name = source.get("name", "study")
    if not isinstance(name, str) or not name.strip() or len(name) > 100:
        raise UserError(f"name = {name!r} must be a text of 1 to 100 characters.")
    _question(source.get("question", ""))
    checked = {
        "name": name,
        "setting": _setting(source.get("setting", "arithmetic")),
        "seeds": _seeds(source.get("seeds", [0])),
        "oracles": _choice(source.get("oracles", 1), (1, 2), "oracles"),
        "precision": _choice(source.get("precision", "fp32"), PRECISIONS, "precision"),
        "placebo": _choice(source.get("placebo", False), (False, True), "placebo"),
        "audit": _audit(source.get("metrics", [])),
        "recipes": _recipes(_tables(source.get("recipes", []), "recipes")),
        "attacks": _attacks(_tables(source.get("attacks", []), "attacks")),
        "source": source,
    }
    attached_tasks = attached(source.get("lm_eval"))
    checked |= {"lm_eval": attached_tasks} if attached_tasks else {}
    document, runs = expand(checked, outline)
    return Plan(document, runs)


def _question(given: Any) -> None:
    if not isinstance(given, str) or len(given) > LONGEST_QUESTION or "\n" in given:
        raise UserError(f"question = {given!r} must be one line of at most {LONGEST_QUESTION} characters.")  # fmt: skip


def check_keys(source: dict[str, Any]) -> None:
    """UserError where a study's source has a key that no study has."""
    _only(source, STUDY_KEYS, "a study")


def is_shipped_or_file(name_or_path: str) -> bool:
    """Whether `load` has something of that name."""
    path = Path(name_or_path)
    return name_or_path in catalogue.studies() or (path.suffix == ".toml" and path.is_file())


def _find(name_or_path: str) -> Path:
    shipped = catalogue.studies()
    if name_or_path in shipped:
        return shipped[name_or_path]
    path = Path(name_or_path)
    if is_shipped_or_file(name_or_path):
        return path
    valid = ", ".join(shipped)
    raise UserError(
        f"There is no study {name_or_path!r}; give one of {valid}, or the path of a TOML file."
    )


def _descend(holder: Any, part: str, path: str) -> Any:
    if isinstance(holder, list):
        return holder[_index(holder, part, path)]
    if not isinstance(holder, dict):
        raise UserError(f"--set {path}: {part!r} is not a table.")
    inner = holder.setdefault(part, {})
    if isinstance(inner, str) and part in ("setting", *RECIPE_STAGES):
        inner = holder[part] = {"name": inner}  # a bare name is a table with defaults
    return inner


def _index(holder: list[Any], part: str, path: str) -> int:
    if not part.isdigit() or int(part) >= len(holder):
        raise UserError(f"--set {path}: {part!r} is not an index from 0 to {len(holder) - 1}.")
    return int(part)


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        bare = text.strip()
        if re.fullmatch(r"[\w./~:@+-]+", bare):
            return bare  # a bare word or path is a text: shells eat its quotation marks
        raise UserError(f"--set: {text!r} is not a TOML value.") from None


def _only(table: dict[str, Any], valid: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in valid:
            raise UserError(f"{where} has no key {key!r}; its keys: {', '.join(valid)}.")


def _tables(value: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise UserError(f"{where} must be a list of tables, written [[{where}]].")
    return value


def _choice(value: Any, valid: tuple[Any, ...], where: str) -> Any:
    if not any(value is item or (value == item and type(value) is type(item)) for item in valid):
        raise UserError(f"{where} = {value!r} is not one of {', '.join(map(str, valid))}.")
    return value


def _seeds(value: Any) -> list[int]:
    whole = isinstance(value, list) and all(
        type(seed) is int and 0 <= seed <= LARGEST_SEED for seed in value
    )
    if not whole or not value:
        raise UserError(f"seeds = {value!r} must be a list of at least one whole number from 0 to {LARGEST_SEED}.")  # fmt: skip
    if len(set(value)) != len(value):
        raise UserError(f"seeds = {value!r} names a seed twice.")
    return list(value)


def _audit(value: Any) -> list[str]:
    """The metrics that a study asks for beside its setting's own; `all` are all that a checkpoint can be asked for."""
    if value == "all":
        return [p.name for p in catalogue.parts("metrics") if p.declared["level"] != "study"]
    if not isinstance(value, list):
        raise UserError(f'metrics = {value!r} must be a list of metrics\' names, or "all".')
    asked = [catalogue.part("metrics", name) for name in value]
    return sorted({part.name for part in asked if part.declared["level"] != "study"})


def _named(value: Any, where: str) -> tuple[str, dict[str, Any]]:
    """(name, parameters) of a bare string or a table with a name."""
    if isinstance(value, str):
        return value, {}
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        return value["name"], {key: item for key, item in value.items() if key != "name"}
    raise UserError(f"{where} = {value!r} must be a part's name or a table with a name.")


def _setting(value: Any) -> dict[str, Any]:
    name, given = _named(value, "setting")
    return {"name": name, "parameters": catalogue.part("settings", name).check(given)}


def _recipes(tables: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every recipe of the grid: {stage: {"name": …, parameters …}}, all parameters written out."""
    expanded: list[dict[str, Any]] = []
    for table in tables:
        _only(table, (*RECIPE_STAGES, "search", "requests", *LABEL_KEYS), "a recipe")
        if not set(table) & set(RECIPE_STAGES):
            raise UserError(f"A recipe is empty; it takes {', '.join(RECIPE_STAGES)}.")
        stages = [stage for stage in RECIPE_STAGES if stage in table]
        grids = [_stage_grid(stage, table[stage]) for stage in stages]
        if "search" in table:
            _add_search(stages, grids, table["search"])
        repeated = _repeated(table, dict(zip(stages, grids, strict=True)))
        for labels, requests, *chosen in itertools.product(
            _labels(table), _requests(table), *grids
        ):
            recipe = {
                stage: {
                    **one,
                    **({"labels": labels} if labels else {}),
                    **({"requests": requests} if requests > 1 and stage == repeated else {}),
                }
                for stage, one in zip(stages, chosen, strict=True)
            }
            if recipe not in expanded:
                expanded.append(recipe)
    return expanded


def _labels(table: dict[str, Any]) -> list[dict[str, Any]]:
    """Every combination of label fraction, source and noise; an empty one where all labels are known and true."""
    given = {key: table.get(key, default) for key, default in LABEL_KEYS.items()}
    axes = [value if isinstance(value, list) else [value] for value in given.values()]
    for key, axis in zip(given, axes, strict=True):
        if not axis:
            raise UserError(f"{key} = [] is an empty grid.")
    found = []
    for fraction, source, noise in itertools.product(*axes):
        if not _number(fraction) or not 0 < fraction <= 1:
            raise UserError(f"label_fraction = {fraction!r} must be above 0 and at most 1.")
        _choice(source, ("true", "noisy"), "label_source")
        if not _number(noise) or not 0 <= noise < 1:
            raise UserError(f"label_noise = {noise!r} must be at least 0 and below 1.")
        told = {"fraction": float(fraction), "source": source, "noise": float(noise)}
        neutral = fraction == 1 and source == "true"
        one = {} if neutral else told if source == "noisy" else {**told, "noise": 0.0}
        found += [one] if one not in found else []
    return found


def _requests(table: dict[str, Any]) -> list[int]:
    """The numbers of requests by which the forget set is unlearnt; 1 is all at once."""
    given = table.get("requests", 1)
    found = given if isinstance(given, list) else [given]
    if not found:
        raise UserError("requests = [] is an empty grid.")
    for number in found:
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise UserError(f"requests = {number!r} must be a whole number of at least 1.")
    return found


def _repeated(table: dict[str, Any], grids: dict[str, list[dict[str, Any]]]) -> str | None:
    """The stage that every request goes through: suppress, else a wrap that can be repeated."""
    stage = next((s for s in ("suppress", "wrap") if s in grids), None)
    if "requests" not in table:
        return stage
    methods = [catalogue.part("methods", one["name"]) for one in grids.get(stage or "", [])]
    if not methods or not all(map(repeats, methods)):
        there = ", ".join(m.name for m in catalogue.parts("methods") if m.declared["repeats"])
        raise UserError(f"requests: a recipe takes them with suppress, or with wrap = {there}, through which every one goes.")  # fmt: skip
    if "search" in table:
        raise UserError("requests: a recipe with requests is not searched; give a list to compare values.")  # fmt: skip
    return stage


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _add_search(stages: list[str], grids: list[list[dict[str, Any]]], search: Any) -> None:
    """Give the search to the first stage whose method has all the searched parameters."""
    space = search.get("space", {}) if isinstance(search, dict) else {}
    for stage, grid in zip(stages, grids, strict=True):
        for chosen in grid:
            method = catalogue.part("methods", chosen["name"])
            if not set(space) <= set(method.defaults()):
                break
            chosen["search"] = checked(method, search)
        else:
            # Trials set the searched parameters: what the recipe says of them would only tell runs apart.
            grids[stages.index(stage)] = _without(grid, set(space))
            return
    names = " or ".join(chosen["name"] for grid in grids for chosen in grid[:1])
    raise UserError(f"search: {', '.join(space)} are not all parameters of {names}.")


def _without(grid: list[dict[str, Any]], names: set[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for chosen in grid:
        left = {key: value for key, value in chosen.items() if key not in names}
        found += [left] if left not in found else []
    return found


def _stage_grid(stage: str, value: Any) -> list[dict[str, Any]]:
    name, given = _named(value, stage)
    method = catalogue.part("methods", name)
    if method.declared["stage"] != stage:
        there = [m.name for m in catalogue.parts("methods") if m.declared["stage"] == stage]
        raise UserError(
            f"{name} is a method of the stage {method.declared['stage']}, not of {stage};"
            f" methods of {stage}: {', '.join(there) or 'none yet'}."
        )
    options = [_option_grid(method, slot, given.pop(slot)) for slot in SLOTS if slot in given]
    return [
        {"name": name, **parameters, **dict(chosen)}
        for parameters in _grid(method, given)
        for chosen in itertools.product(*options)
    ]


def _option_grid(method: catalogue.Part, slot: str, value: Any) -> list[tuple[str, dict[str, Any]]]:
    """(slot, {"name", parameters}) of every option in a slot; a list of options is a grid."""
    if slot not in slots(method):
        raise UserError(why_not(method, slot))
    if value == []:
        raise UserError(f"{method.name}: {slot} = [] is an empty grid.")
    found = []
    for one in value if isinstance(value, list) else [value]:
        name, given = _named(one, slot)
        part = catalogue.part("options", name)
        if part.declared["slot"] != slot:
            there = [o.name for o in catalogue.parts("options") if o.declared["slot"] == slot]
            raise UserError(
                f"{name} goes with {part.declared['slot']}, not with {slot}; there are: {', '.join(there) or 'none yet'}."
            )
        found += [(slot, {"name": name, **parameters}) for parameters in _grid(part, given)]
    return found


def _grid(part: catalogue.Part, given: dict[str, Any]) -> list[dict[str, Any]]:
    """The Cartesian product of all lists; a parameter that is a list by nature takes a list of lists."""
    lists_by_nature = {p.name for p in part.parameters if p.type.startswith("list")}
    axes: list[list[Any]] = []
    for name, value in given.items():
        nested = bool(value) and isinstance(value, list) and isinstance(value[0], list)
        is_axis = isinstance(value, list) and (name not in lists_by_nature or _deep(value, nested))
        if is_axis and not value:
            raise UserError(f"{part.name}: {name} = [] is an empty grid.")
        axes.append(value if is_axis else [value])
    return [
        part.check(dict(zip(given, chosen, strict=True))) for chosen in itertools.product(*axes)
    ]


def _deep(value: list[Any], nested: bool) -> bool:
    """Whether a list given for a list of lists is a grid of such: three levels deep."""
    return nested and bool(value[0]) and isinstance(value[0][0], list)


def _attacks(tables: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every attack with its grid; an attack that is given twice has the cells of both."""
    attacks: dict[str, dict[str, Any]] = {}
    for table in tables:
        name, given = _named(table, "attacks")
        part = catalogue.part("attacks", name)
        entry = attacks.setdefault(
            name,
            {
                "name": name,
                "label": part.label,
                "counts": part.declared["counts"],
                "has_steps": part.declared["has_steps"],
                **({"metric": part.declared["metric"]["name"]} if part.declared["metric"] else {}),
                "grid": [],
            },
        )
        entry["grid"] += [cell for cell in _grid(part, given) if cell not in entry["grid"]]
    for entry in attacks.values():
        entry["steps"] = max((cell.get("steps", 1) for cell in entry["grid"]), default=1)
    return list(attacks.values())
