"""Readable names of configurations: their methods with what tells them apart."""

from collections.abc import Iterator
from typing import Any

from backend import catalogue
from backend.registry import SLOTS

SYMBOLS = {"alpha": "α", "beta": "β", "learning_rate": "lr"}


def readable(configurations: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """(key, readable name): labels of the stages with the parameters that tell namesakes apart or are not default."""
    for configuration in configurations:
        if not configuration["stages"]:
            yield configuration["key"], configuration["method"].capitalize()
            continue
        parts = []
        for stage in configuration["stages"]:
            part = catalogue.part("methods", stage["name"])
            told = _telling(part, stage, configurations)
            labels = told.pop("labels", None)
            told |= _labels_told(labels) if labels else {}
            search = told.pop("search", None)
            told |= {"best of": search["trials"]} if search else {}
            options = [_option_label(told.pop(slot)) for slot in SLOTS if slot in told]
            text = ", ".join(f"{SYMBOLS.get(k, k)} {_written(v)}" for k, v in told.items())
            label = " + ".join([part.label, *options])
            parts.append(f"{label} ({text})" if text else label)
        yield configuration["key"], " → ".join(parts)


def _written(value: Any) -> str:
    """A value as it reads in a name."""
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _option_label(option: dict[str, Any]) -> str:
    """An option's name with what differs from its defaults."""
    part = catalogue.part("options", option["name"])
    defaults = part.defaults()
    told = [f"{SYMBOLS.get(k, k)} {v}" for k, v in option.items() if k in defaults and v != defaults[k]]  # fmt: skip
    return f"{part.label} ({', '.join(told)})" if told else part.label


def _labels_told(labels: dict[str, Any]) -> dict[str, Any]:
    """Label fraction and noise as they stand in a configuration's name."""
    noisy = {"wrong": labels["noise"]} if labels["source"] == "noisy" else {}
    return {"labels": labels["fraction"], **noisy}


def _telling(
    part: catalogue.Part, stage: dict[str, Any], configurations: list[dict[str, Any]]
) -> dict[str, Any]:
    namesakes = [
        other["parameters"]
        for configuration in configurations
        for other in configuration["stages"]
        if other["name"] == stage["name"] and other["stage"] == stage["stage"]
    ]
    defaults = part.defaults()
    return {
        key: value
        for key, value in stage["parameters"].items()
        if any(other.get(key) != value for other in namesakes) or value != defaults.get(key)
    }
