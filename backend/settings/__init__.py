"""Data tasks, one a file."""

from dataclasses import replace
from typing import Any

from backend.data import Task
from backend.registry import load
from backend.text.absent import outlining


def build_task(name: str, parameters: dict[str, Any]) -> Task:
    """The task of a setting with these parameters; raises UserError where they make no sense together."""
    task: Task = load("settings", name)(**parameters)
    return task


def outlined_task(name: str, parameters: dict[str, Any]) -> Task:
    """The same where data, tokenizer or weights may be absent: `absent` says then what is, and only the shapes are true."""
    with outlining() as missing:
        task = build_task(name, parameters)
    return replace(task, absent=" ".join(missing))
