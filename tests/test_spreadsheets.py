"""Comma separated files: no cell that a spreadsheet would run, and no number that became a text."""

import csv as reader
import io
import math

import pandas as pd
import pytest

from backend.spreadsheets import csv, harmless


def cells(frame: pd.DataFrame) -> list[list[str]]:
    return list(reader.reader(io.StringIO(csv(frame).decode())))


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-x", "@sum", "\tx", "-inf", "+1-1", "-1e5x"])  # fmt: skip
def test_what_would_be_a_formula_gets_a_quote(text: str) -> None:
    assert harmless(text) == f"'{text}"
    assert cells(pd.DataFrame({"a": [text]})) == [["a"], [f"'{text}"]]
    assert cells(pd.DataFrame({text: ["a"]})) == [[f"'{text}"], ["a"]]


@pytest.mark.parametrize("text", ["-1", "+1.5", "-1e-05", "1=2", "—", "a-b", "-.5E+3", "two\nlines", 'a,"b"'])  # fmt: skip
def test_numbers_and_other_texts_stay(text: str) -> None:
    assert harmless(text) == text
    assert cells(pd.DataFrame({text: [text]})) == [[text], [text]]


def test_a_carriage_return_begins_no_row_of_its_own() -> None:
    frame = pd.DataFrame({"a": ["x\r=cmd()", "two\r\nlines", "\r=1"]})
    assert cells(frame) == [["a"], ["x\n=cmd()"], ["two\nlines"], ["'\n=1"]]


def test_numbers_of_every_kind_stay_as_pandas_writes_them() -> None:
    frame = pd.DataFrame(
        {
            "float": [-1e-05, 0.1 + 0.2, math.nan, -math.inf],
            "whole": [-3, 2**53 + 1, 0, 7],
            "mixed": pd.Series([-2, None, 2.5, True], dtype=object),
            "unknown": pd.Series([-4, None, 5, 6], dtype="Int64"),
            "moment": pd.to_datetime(["2026-01-02"] * 4, utc=True),
            "sure": [True, False, True, False],
        },
        index=[4, 4, 1, 0],
    )
    assert csv(frame) == frame.to_csv(index=False).encode()


def test_texts_of_every_kind_are_harmless_also_where_a_name_stands_twice() -> None:
    kinds = [pd.Series(["=a", None, "b"], dtype=kind) for kind in (object, "string", "category")]
    frame = pd.concat(kinds, axis=1, keys=["=x", "=x", "y"])
    before = frame.copy()
    assert cells(frame) == [["'=x", "'=x", "y"], ["'=a"] * 3, [""] * 3, ["b"] * 3]
    pd.testing.assert_frame_equal(frame, before)


def test_an_empty_frame_keeps_its_heads() -> None:
    assert csv(pd.DataFrame({"a": [], "=b": []})) == b"a,'=b\n"
    assert csv(pd.DataFrame()) == b"\n"
