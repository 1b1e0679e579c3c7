"""Data tasks, one a file."""

from typing import Any

from backend.data import Task
from backend.registry import load


def build_task(name: str, parameters: dict[str, Any]) -> Task:
    """The task of a setting with these parameters; raises UserError where they make no sense together."""
    task: Task = load("settings", name)(**parameters)
    return task
