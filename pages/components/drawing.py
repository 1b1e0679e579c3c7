"""Handing charts to the browser quickly, and making those that are only asked for later."""

from collections.abc import Callable
from functools import cached_property
from typing import Any


class _Unchecked:
    """A chart that is written without being compared with Vega-Lite's schema again."""

    def __init__(self, chart: Any):
        self._chart = chart

    def to_dict(self) -> dict[str, Any]:
        """The chart's specification."""
        written: dict[str, Any] = self._chart.to_dict(validate=False)
        return written


def quickly(chart: Any) -> Any:
    """The chart as `st.altair_chart` takes it, without the check against the schema.

    The check takes a third of a page's time with large studies. Every chart is checked in tests and in every export.
    """
    return _Unchecked(chart)


class _Later:
    """A chart that is made once, when its specification is first asked for."""

    def __init__(self, make: Callable[[], Any]):
        self._make = make

    @cached_property
    def _chart(self) -> Any:
        return self._make()

    def to_dict(self) -> dict[str, Any]:
        """The chart's specification, checked."""
        written: dict[str, Any] = self._chart.to_dict()
        return written


def later(make: Callable[[], Any]) -> Any:
    """What files and reports take as a chart; `make` is called when the first of them is asked for, if ever."""
    return _Later(make)
