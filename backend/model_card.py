"""The card that goes with an exported model: what was done to it, what was measured, how to load it. Plain text."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

# Of a setting's parameters those that may be paths on the exporting machine keep their last part.
LONGEST = 2000  # characters of one value


@dataclass(frozen=True)
class Score:
    """A metric of the model on a split: before any attack, or under one."""

    metric: str
    split: str
    value: float | None
    attack: str = ""  # the attack with its parameters; empty before any
    step: int | None = None
    count: int | None = None


@dataclass(frozen=True)
class Card:
    """Everything that a card says.

    `stages` are {"stage", "name", "label", "source", "parameters", "seed", "run"} from the first to the last; `origin` is
    where the weights that training started from come from, empty where they were random.
    """

    name: str
    stages: Sequence[Mapping[str, Any]]
    setting: Mapping[str, Any]
    studies: Sequence[str] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)
    scores: Sequence[Score] = ()
    fingerprint: str = ""
    precision: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)


def written(card: Card) -> str:
    """The card as Markdown with front matter."""
    parts = [
        _front_matter(card),
        f"# {card.name}",
        _introduction(card),
        "## How it was made",
        _stages(card),
        "## What was measured",
        _scores(card),
        "## How to load it",
        _loading(),
        "## Licence",
        _license(card),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(card: Card) -> str:
    told: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "text-generation"}
    if card.origin.get("license"):
        told["license"] = str(card.origin["license"])
    if _on_hub(card):
        told["base_model"] = str(card.origin["pretrained"])
    methods = [str(s["name"]) for s in card.stages if s["stage"] not in ("base", "oracle")]
    told["tags"] = list(dict.fromkeys(["unlearning", "lethe", *methods]))
    return f"---\n{yaml.safe_dump(told, sort_keys=False, allow_unicode=True).strip()}\n---"


def _on_hub(card: Card) -> bool:
    """Whether the source is a name on the hub; a folder's path is nobody else's business."""
    return bool(card.origin.get("revision"))


def _introduction(card: Card) -> str:
    source = "It was trained from random weights."
    if card.origin and _on_hub(card):
        source = (
            f"It started from `{card.origin['pretrained']}` at commit `{card.origin['revision']}`."
        )
    elif card.origin:
        folder = str(card.origin.get("pretrained", "")).rstrip("/").rpartition("/")[2]
        source = f"It started from a local checkpoint, `{folder}` (SHA-256 of its weights: `{card.origin.get('weights', '')}`)."
    of = ", ".join(f"`{name}`" for name in card.studies) or "none"
    return (
        f"A language model from an experiment on machine unlearning with Lethe. {source}\n\n"
        f"Study: {of}. Run: `{card.fingerprint}`. Precision: {card.precision or 'unknown'}."
        " Unlearning does not prove that knowledge is gone: what attacks brought back stands below."
    )


def _stages(card: Card) -> str:
    lines = [f"Setting: `{card.setting.get('name')}`.", "", _table(card.setting["parameters"])]
    for place, stage in enumerate(card.stages, 1):
        title = f"### {place}. {stage['stage']}: {stage['label']} (seed {stage['seed']})"
        source = [f"Source: {stage['source']}", ""] if stage.get("source") else []
        lines += ["", title, "", *source, _table(stage["parameters"])]
    return "\n".join(lines)


def _table(parameters: Mapping[str, Any]) -> str:
    if not parameters:
        return "No parameters."
    rows = [f"| `{key}` | {_cell(value)} |" for key, value in parameters.items()]
    return "\n".join(["| parameter | value |", "| --- | --- |", *rows])


def _cell(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, str) and value.startswith(("/", "~", ".")):
        text = json.dumps(value.rstrip("/").rpartition("/")[2], ensure_ascii=False)
    return "`" + text[:LONGEST].replace("|", "\\|").replace("\n", " ") + "`"


def _scores(card: Card) -> str:
    if not card.scores:
        return "Nothing was measured yet."
    head = [
        "| metric | data | attack | step | value | items |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    rows = [
        f"| {s.metric} | {s.split} | {s.attack.replace('|', ' ') or 'before any'} |"
        f" {'' if s.step is None else s.step} | {_number(s.value)} | {'' if s.count is None else s.count} |"
        for s in card.scores
    ]
    return "\n".join([*head, *rows])


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4g}"


def _loading() -> str:
    return (
        "```python\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        'model = AutoModelForCausalLM.from_pretrained("PATH/TO/THIS/FOLDER")\n'
        'tokenizer = AutoTokenizer.from_pretrained("PATH/TO/THIS/FOLDER")\n'
        "```"
    )


def _license(card: Card) -> str:
    named = str(card.origin.get("license") or "")
    if named:
        return f"The source is under the licence `{named}`; so is what was made of it, as far as that licence asks for it."
    if card.origin:
        return "The source states no licence; ask its authors before you pass this model on."
    return "None is stated; the licences of the training text apply."
