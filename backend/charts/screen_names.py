"""Where names of points go so that they cover neither each other nor a point: each beside its own, or nowhere."""

from collections.abc import Sequence

import numpy as np

# The plot that is reckoned with, in pixels: narrower than most, so that names are rather left out than on top of another.
WIDTH, HEIGHT = 560.0, 400.0
LETTER, LINE = 6.2, 13.0  # of a font of 11
POINT = 9.0  # half of what a point covers
PLACES = ("left above", "right above", "left below", "right below")
SHIFT = {"above": -11, "below": 15}
Box = tuple[float, float, float, float]


def places(
    points: np.ndarray, names: Sequence[str], obstacles: np.ndarray, centre: float = 0.5
) -> list[str]:
    """For each point one of `PLACES`, or "" where there is no room.

    `points` and `obstacles` are (n, 2) in shares of the plot, up being large; "left" is a name that starts at its point.
    Points right of the `centre` prefer a name that ends at them, so that it stays within the picture.
    """
    taken: list[Box] = [_around(point) for point in obstacles]
    found = [""] * len(names)
    for position in sorted(range(len(names)), key=lambda i: -points[i][1]):
        sides = ("left", "right") if points[position][0] < centre else ("right", "left")
        for place in (f"{side} {height}" for height in ("above", "below") for side in sides):
            box = _box(points[position], names[position], place)
            if box[0] >= 0 and box[2] <= WIDTH and not any(_meet(box, other) for other in taken):
                found[position] = place
                taken.append(box)
                break
    return found


def _around(point: np.ndarray) -> Box:
    x, y = point[0] * WIDTH, (1 - point[1]) * HEIGHT
    return x - POINT / 2, y - POINT / 2, x + POINT / 2, y + POINT / 2


def _box(point: np.ndarray, name: str, place: str) -> Box:
    side, height = place.split()
    x, y = point[0] * WIDTH, (1 - point[1]) * HEIGHT + SHIFT[height]
    long = LETTER * len(name)
    start = x + 12 if side == "left" else x - 12 - long
    return start, y - LINE / 2, start + long, y + LINE / 2


def _meet(one: Box, other: Box) -> bool:
    apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    return not apart
