"""Which methods a picture tells apart: all of a few; of many those on the front or chosen, and the rest in grey."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import altair as alt
import pandas as pd

from backend.anchors import competing
from backend.charts.naming import family
from backend.charts.theme import PALETTE, SHAPES

MOST = 12  # methods that a reader keeps apart by colour and shape
GREY = "#949494"  # of all others; seen on white (3.0 : 1) and on black
ROWS = 14  # entries of a legend that fit below each other beside the picture


@dataclass(frozen=True)
class Families:
    """The methods of a picture.

    `order` has all of the study, each with its own turn in the colours, so that they keep them from picture to picture;
    `named` are those in the legend; `rest` counts the methods that are drawn in grey; `wanted` those that had a reason
    to be named.
    """

    order: tuple[str, ...]
    named: tuple[str, ...]
    rest: int = 0
    wanted: int = 0

    @property
    def others(self) -> str:
        """What the legend calls the rest; empty where there is none."""
        return f"{self.rest} other{'s' * (self.rest != 1)}" if self.rest else ""

    @property
    def entries(self) -> list[str]:
        """The legend, the rest last."""
        return [*self.named, *([self.others] if self.rest else [])]

    def shown(self, names: Iterable[str]) -> list[str]:
        """Under which entry each method stands; references, which no legend lists, under their own names."""
        grey = set(self.order) - set(self.named)
        return [self.others if name in grey else name for name in names]

    def colours(self) -> alt.Scale:
        """A colour for every entry."""
        found = [PALETTE[self.order.index(name) % len(PALETTE)] for name in self.named]
        return alt.Scale(domain=self.entries, range=[*found, *([GREY] if self.rest else [])])

    def shapes(self) -> alt.Scale:
        """A shape for every entry; where some are grey, circles are theirs alone, in print without colours too."""
        circles = [SHAPES[0]] if self.rest else []
        return alt.Scale(domain=self.entries, range=[*map(self._shape, self.named), *circles])

    def _shape(self, name: str) -> str:
        position = self.order.index(name)
        if len(self.order) <= MOST:
            return SHAPES[position % len(SHAPES)]
        signs = SHAPES[1:]
        # 8 colours and 6 shapes meet again after 24 methods: from there on one shape further.
        return signs[(position + position // 24) % len(signs)]

    def legend(self) -> alt.Legend:
        """All entries, in as many columns as the picture's height asks for."""
        columns = -(-len(self.entries) // ROWS) or 1
        # Without the outline of the points: entries as high as their text, so that the sizes' legend finds room below.
        return alt.Legend(
            symbolOpacity=1, symbolSize=110, symbolStrokeWidth=0.5, rowPadding=5, symbolLimit=0, columns=columns
        )  # fmt: skip

    def told(self, named_by: str = "the table") -> str:
        """Two sentences on who is in colour and who in grey, `named_by` what; empty where nobody is grey."""
        if not self.rest:
            return ""
        them = "it" if self.rest == 1 else "them"
        why = "with a configuration that is chosen or non-dominated"
        count = len(self.named)
        if not self.wanted:
            coloured = f"the first {count} of {count + self.rest} methods"
        elif self.wanted > count:
            coloured = f"{count} of the {self.wanted} methods {why}"
        else:
            coloured = f"the {f'{count} methods' if count > 1 else 'method'} {why}"
        return f"In colour: {coloured}. In grey: the {self.others}; {named_by} names {them}."


def order_of(frame: pd.DataFrame) -> list[str]:
    """All methods of a frontier's frame in the order of the study; of many, those on the front first.

    So the colours of those that a legend names differ as far as there are colours.
    """
    rows = frame[competing(frame)]
    every = list(dict.fromkeys(family(name) for name in rows["configuration"]))
    if len(every) <= MOST:
        return every
    return list(dict.fromkeys([*map(family, on_front(frame)), *every]))


def on_front(frame: pd.DataFrame) -> list[str]:
    """The configurations that are undominated in all objectives, in the order of the study."""
    return list(frame.loc[[kept is True for kept in frame["on_front"]], "configuration"])


def families(
    frame: pd.DataFrame,
    drawn: Iterable[str],
    chosen: Iterable[str] = (),
    front: Iterable[str] = (),
    order: Sequence[str] = (),
) -> Families:
    """The methods of the configurations that are `drawn` from a frontier's frame.

    All are named where they are few. Of more than a dozen those are named that have a `chosen` configuration, then those
    on the front of all objectives, then those on the `front` of what is drawn; a dozen at most, and of two on a front the
    one without which it would lose more. `order` is that of the colours, where another frame of the study decides it.
    """
    known = list(dict.fromkeys([*order, *order_of(frame)]))
    held = set(map(family, drawn))
    present = [name for name in known if name in held]
    if len(present) <= MOST:
        return Families(tuple(known), tuple(present))
    best = frame.sort_values("hypervolume_contribution", ascending=False, kind="stable")
    here = set(front)
    undominated = [*on_front(best), *(name for name in best["configuration"] if name in here)]
    reasons = dict.fromkeys(map(family, [*chosen, *undominated]))
    wanted = [name for name in reasons if name in held]
    named = set((wanted or present)[:MOST])
    kept = tuple(name for name in present if name in named)
    return Families(tuple(known), kept, len(present) - len(kept), len(wanted))
