"""Base and oracle are told from methods in one place, by the words of the database and of the charts."""

import pandas as pd

from backend.anchors import ANCHORS, competing
from backend.charts.theme import ANCHOR_SHAPES
from db.models import STAGES


def test_the_words_are_those_of_the_stages_and_of_the_charts() -> None:
    assert set(ANCHORS) < set(STAGES)
    assert set(ANCHORS) == set(ANCHOR_SHAPES)


def test_what_is_neither_competes_whatever_the_index() -> None:
    frame = pd.DataFrame({"method": ["oracle", "npo", "base", "base_like"]}, index=[3, 1, 7, 0])
    assert list(frame.index[competing(frame)]) == [1, 0]
    assert not competing(frame.iloc[:0]).any()
