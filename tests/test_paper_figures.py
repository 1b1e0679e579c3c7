"""Figures for paper: the page is the one that was asked for, and nothing on it overlaps, is cut off or too small."""

import io
import itertools
import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import pypdf
import pytest
import vl_convert

from backend import exports
from backend.charts import lettering
from backend.charts.attacks import matrix_chart, place_chart, roc_chart
from backend.charts.cost import COLOURS, amounts_chart
from backend.charts.frontier import frontier_chart
from backend.charts.presets import PRESETS, SMALLEST, THINNEST, preset_of
from backend.charts.printing import plain, printed
from backend.charts.robustness import compute_chart, dumbbell_chart, grid_chart, relearning_chart
from backend.charts.scene import Scene, Thing, scene
from backend.charts.theme import FONT, PALETTE
from backend.frontier import frame
from backend.stage import UserError
from tests.frames import small

# Machado, Oliveira and Fernandes 2009: what is left of linear RGB without one kind of cone.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}  # fmt: skip
LEAST_DIFFERENCE = 15.0  # of two colours, in CIE Lab; about 2 can be seen side by side


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return frame(small((0, 1)).build())


@pytest.fixture(scope="module")
def curves() -> pd.DataFrame:
    return small((0, 1)).curves()


def many(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """As many competing configurations, each of a method of its own, scattered; invented."""
    generator = np.random.default_rng(3)
    anchors = rows[rows["method"].isin(["base", "oracle"])]
    row = rows[rows["configuration"] == "MaxEnt"].iloc[0]
    made = []
    for k in range(count):
        robust, utility = generator.uniform(0, 1), generator.uniform(0.8, 1)
        made.append(
            {**row, "configuration": f"Method {k} (learning rate 0.001, steps {k})", "robust_forget_quality": robust,
             "robust_forget_quality_low": robust - 0.1, "robust_forget_quality_high": robust + 0.1,
             "utility": utility, "utility_low": utility - 0.01, "utility_high": utility + 0.01,
             "compute": generator.uniform(0, 1), "on_front": True}
        )  # fmt: skip
    return pd.concat([anchors, pd.DataFrame(made)], ignore_index=True)


def attacked(rows: pd.DataFrame, attacks: int) -> pd.DataFrame:
    """A matrix frame of every configuration under that many attacks; invented."""
    return pd.DataFrame(
        [
            {"configuration": name, "attack": f"attack_{k}", "label": f"A rather long attack {k}",
             "counts": "weights" if k % 2 else "access", "state": "known", "recovery": k / attacks - 0.1,
             "recovery_low": 0.0, "recovery_high": 1.0, "reason": None}
            for name in rows["configuration"] for k in range(attacks)
        ]
    )  # fmt: skip


def made_charts(rows: pd.DataFrame, curves: pd.DataFrame) -> dict[str, Any]:
    long = many(rows, 40)
    places = pd.DataFrame(
        [(n, 0, p, p / 10) for n in rows["configuration"] for p in range(8)],
        columns=["configuration", "seed", "place", "value"],
    )
    told = pd.DataFrame({"name": ["a (0.50)", "b (0.70)"] * 2, "fpr": [0, 0, 1, 1], "tpr": [0, 0.3, 1, 1]})  # fmt: skip
    costs = pd.DataFrame(
        [(n, s, 1e12, 100.0, 0.1, 0.1, 2, 2) for n in long["configuration"] for s in ("base", "oracle", "suppress", "attacks")],
        columns=["configuration", "stage", "flops", "seconds", "share_of_flops", "share_of_seconds", "finished", "runs"],
    )  # fmt: skip
    return {
        "frontier": frontier_chart(rows),
        "frontier of 40": frontier_chart(long),
        "compute": compute_chart(rows),
        "dumbbell": dumbbell_chart(rows),
        "dumbbell of 40": dumbbell_chart(long),
        "relearning": relearning_chart(curves),
        "grid": grid_chart(curves),
        "matrix of 3": matrix_chart(attacked(rows, 3)),
        "matrix of 20": matrix_chart(attacked(rows, 20)),
        "places": place_chart(places, "layer", "Linear CKA"),
        "roc": roc_chart(told),
        "cost": amounts_chart(costs, "seconds"),
    }


CHARTS = ("frontier", "frontier of 40", "compute", "dumbbell", "dumbbell of 40", "relearning", "grid", "matrix of 3", "matrix of 20", "places", "roc", "cost")  # fmt: skip


@pytest.fixture(scope="module")
def charts(rows: pd.DataFrame, curves: pd.DataFrame) -> dict[str, Any]:
    made = made_charts(rows, curves)
    assert set(made) == set(CHARTS)
    return made


def texts(drawn: Scene) -> list[Thing]:
    """The texts of a picture, the halos behind them apart."""
    shown = [thing for thing in drawn.things if thing.kind == "text" and thing.text]
    return [thing for thing in shown if not (thing.role == "mark" and thing.stroke)]


def overlaps(drawn: Scene) -> list[tuple[str, str]]:
    """Pairs of texts that lie over each other; slanting ones, whose upright boxes meet, are told by their distance."""
    found = []
    for one, other in itertools.combinations(texts(drawn), 2):
        slanting = one.angle % 90 != 0 and one.angle == other.angle
        if slanting:
            apart = abs(one.x - other.x) * abs(np.sin(np.radians(one.angle)))
            if apart < one.size:
                found.append((one.text, other.text))
        elif one.box.covers(other.box, 0.8):
            found.append((one.text, other.text))
    return found


@pytest.mark.parametrize("name", CHARTS)
@pytest.mark.parametrize("size", ["one column", "two columns"])
def test_nothing_overlaps_is_cut_off_or_too_small(
    charts: dict[str, Any], name: str, size: str
) -> None:
    preset = PRESETS[size]
    made = printed(charts[name], preset)
    drawn = scene(made.specification)
    assert made.width == preset.width
    assert drawn.width == pytest.approx(preset.width, abs=0.6)
    assert drawn.height == pytest.approx(made.height, abs=0.6)
    assert not overlaps(drawn)
    for text in texts(drawn):
        assert text.size >= SMALLEST, text
        assert text.box.left > -0.5 and text.box.right < made.width + 0.5, text
        assert text.box.top > -0.5 and text.box.bottom < made.height + 0.5, text
    assert min(thing.stroke for thing in drawn.things if thing.stroke) >= THINNEST


@pytest.mark.parametrize("name", ["frontier of 40", "dumbbell of 40", "relearning"])
@pytest.mark.parametrize("size", ["slides", "poster"])
def test_a_slide_keeps_its_page(charts: dict[str, Any], name: str, size: str) -> None:
    preset = PRESETS[size]
    made = printed(charts[name], preset)
    assert (made.width, made.height) == (preset.width, preset.height)
    drawn = scene(made.specification)
    assert not overlaps(drawn)
    assert min(text.size for text in texts(drawn)) >= preset.least


def test_the_check_finds_what_a_screens_chart_does_on_paper(charts: dict[str, Any]) -> None:
    squeezed = {**plain(charts["dumbbell of 40"]), "width": 234, "height": 190}
    assert overlaps(scene(squeezed))


@pytest.mark.parametrize("size", list(PRESETS))
def test_the_files_have_the_size_and_the_font(charts: dict[str, Any], size: str) -> None:
    preset = PRESETS[size]
    page = pypdf.PdfReader(io.BytesIO(exports.pdf(charts["frontier"], size))).pages[0]
    assert float(page.mediabox.width) == pytest.approx(preset.width, abs=0.6)
    assert float(page.mediabox.height) == pytest.approx(preset.height, abs=0.6)
    fonts = list(page["/Resources"]["/Font"].values())
    assert fonts
    for font in fonts:
        inner = font.get_object()["/DescendantFonts"][0].get_object()
        assert re.fullmatch(r"/[A-Z]{6}\+LiberationSans(-Bold)?", inner["/BaseFont"])
        assert "/FontFile2" in inner["/FontDescriptor"].get_object()
    tree = ElementTree.fromstring(exports.svg(charts["frontier"], size))
    assert float(tree.attrib["width"]) == pytest.approx(preset.width, abs=0.6)
    shown = [t for t in tree.iter("{http://www.w3.org/2000/svg}text") if (t.text or "").strip()]
    assert any("Oracle" in str(text.text) for text in shown)
    assert all(FONT in text.attrib["font-family"] for text in shown)


def test_letters_are_as_wide_as_the_font_says() -> None:
    told = "".join(chr(code) for code in range(32, 127)) + "".join(lettering.OTHERS)
    drawn = {
        "data": {"values": [{"told": told}]},
        "mark": "text",
        "encoding": {"text": {"field": "told"}},
        "config": {"font": FONT},
    }
    page = pypdf.PdfReader(io.BytesIO(vl_convert.vegalite_to_pdf(drawn))).pages[0]
    (font,) = page["/Resources"]["/Font"].values()
    font = font.get_object()
    number = {
        chr(int(sign, 16)): int(place, 16)
        for place, sign in re.findall(r"<(\w{4})> <(\w{4})>", font["/ToUnicode"].get_object().get_data().decode())
    }  # fmt: skip
    wide = widths(font["/DescendantFonts"][0].get_object()["/W"])
    compared = [sign for sign in told if number.get(sign) in wide]
    assert len(compared) >= len(told) - 1
    for sign in compared:
        if sign != "…":
            assert lettering.width(sign, 1000) == pytest.approx(wide[number[sign]], abs=2), sign


def widths(listed: Any) -> dict[int, float]:
    """A PDF font's table of widths: number of a letter → thousandths."""
    found: dict[int, float] = {}
    rest = [one.get_object() for one in listed]
    while rest:
        first, second = int(rest.pop(0)), rest.pop(0)
        if isinstance(second, list):
            found |= {first + k: float(width) for k, width in enumerate(second)}
        else:
            found |= dict.fromkeys(range(first, int(second) + 1), float(rest.pop(0)))
    return found


def linear(colour: str) -> np.ndarray:
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(light: np.ndarray) -> np.ndarray:
    """CIE Lab (D65) of linear RGB."""
    to_xyz = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])  # fmt: skip
    xyz = to_xyz @ np.clip(light, 0, 1) / np.array([0.95047, 1.0, 1.08883])
    root = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("palette", [PALETTE, list(COLOURS.values())])
def test_every_eye_tells_the_colours_apart(sight: str, palette: list[str]) -> None:
    seen = {colour: lab(SIGHT[sight] @ linear(colour)) for colour in palette}
    assert len(seen) == len(palette)
    for one, other in itertools.combinations(palette, 2):
        assert np.linalg.norm(seen[one] - seen[other]) >= LEAST_DIFFERENCE, (one, other)


def test_greys_are_greys_and_tell_methods_apart(charts: dict[str, Any]) -> None:
    text = exports.vega(charts["frontier"], "one column", greys=True).decode()
    colours = set(re.findall(r"#[0-9a-f]{6}\b", text.lower()))
    assert colours and all(one[1:3] == one[3:5] == one[5:7] for one in colours)
    unit = next(u for u in exports.specification(charts["frontier"], greys=True)["layer"] if "color" in u["encoding"])  # fmt: skip
    told = unit["encoding"]["color"]["scale"]
    assert len(set(told["range"])) == len(told["domain"]) == 4
    grid = exports.specification(charts["grid"], greys=True)["layer"][0]["encoding"]["color"]
    assert grid["scale"] == {"scheme": "greys", "reverse": True}


def test_composed_charts_keep_to_the_page() -> None:
    data = pd.DataFrame({"x": range(6), "y": [3, 1, 4, 1, 5, 9], "kind": list("ababab")})
    one = alt.Chart(data).mark_point().encode(x="x:Q", y="y:Q", color="kind:N")
    shapes = {
        "side by side": one | one,
        "above each other": one & one,
        "facet": one.facet("kind:N", columns=2),
        "columns": one.encode(column="kind:N"),
        "single": one,
    }
    for name, chart in shapes.items():
        drawn = scene(printed(chart, PRESETS["one column"]).specification)
        assert drawn.width == pytest.approx(234, abs=3), name
        assert not [t for t in texts(drawn) if t.box.right > 235], name


def test_panels_stand_below_each_other_where_the_page_is_narrow() -> None:
    data = pd.DataFrame({"x": range(6), "y": [3, 1, 4, 1, 5, 9]})
    one = alt.Chart(data).mark_point().encode(x="x:Q", y="y:Q")
    narrow, wide = (printed(alt.hconcat(one, one), PRESETS[n]) for n in ("one column", "two columns"))  # fmt: skip
    assert narrow.specification["columns"] == 1 and len(narrow.specification["concat"]) == 2
    assert narrow.height == pytest.approx(2 * PRESETS["one column"].height, abs=3)
    assert "hconcat" in wide.specification and wide.height == PRESETS["two columns"].height


def test_an_axis_in_its_own_words_keeps_them() -> None:
    data = pd.DataFrame({"x": ["001 a", "002 b"], "y": ["p", "q"]})
    given = alt.Axis(labelExpr="slice(datum.label, 4)")
    chart = alt.Chart(data).mark_rect().encode(x=alt.X("x:N", axis=given), y="y:N")
    drawn = scene(printed(chart, PRESETS["one column"]).specification)
    assert {"a", "b"} <= {text.text for text in texts(drawn)}


def test_data_are_those_of_the_chart(charts: dict[str, Any]) -> None:
    for name in ("frontier", "relearning", "dumbbell of 40"):
        made = exports.specification(charts[name], "one column")
        assert made["datasets"] == plain(charts[name])["datasets"]


def test_a_preset_that_is_not_there_is_refused() -> None:
    assert preset_of("one-column") is preset_of("one_column") is PRESETS["one column"]
    with pytest.raises(UserError, match="'a4' is not one of one column, two columns, slides, poster"):  # fmt: skip
        preset_of("a4")
