"""The Frontier page's chart of a document as it is, for who has no page: a notebook."""

from collections.abc import Mapping
from typing import Any

from backend.charts.axes import OBJECTIVES, axes_of, first_axes
from backend.charts.families import order_of
from backend.charts.frontier import coloured, frontier_chart
from backend.frontier import frame as frame_of
from backend.stage import UserError


def frontier_picture(
    document: Mapping[str, Any],
    x: str | None = None,
    y: str | None = None,
    size: str | None = None,
    theme: str = "light",
) -> Any:
    """The chart of a frontier document over any two of its columns, a third one as size; those of the page without.

    Raises:
        UserError: there are no results, or a column is none that can be drawn
    """
    if not document["rows"]:
        raise UserError(f"{document['study']} has no results yet.")
    if theme not in ("light", "dark"):
        raise UserError(f"theme = {theme!r} is not one of light, dark.")
    axes = axes_of(document) or OBJECTIVES
    across, up, third = first_axes(list(axes))
    x, y, size = x or across, y or up, size or third
    for name in (x, y, size):
        if name not in axes:
            raise UserError(f"{name!r} is no column of {document['study']} that can be drawn; there are: {', '.join(axes)}.")  # fmt: skip
    frame = frame_of(document)
    methods = coloured(frame, x, y, size, axes=axes, order=order_of(frame))
    return frontier_chart(
        frame, x, y, size, theme=theme, interactive=True, axes=axes, methods=methods
    )
