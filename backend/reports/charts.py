"""Charts in reports: Vega-Lite specifications that hold their data, for a page, for a meeting, for paper."""

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

import altair as alt
import vl_convert

from backend.canonical import plain
from backend.charts.theme import ANCHOR, FONT, GROUND, SVG
from backend.stage import UserError

Spec = dict[str, Any]

WIDTH, HEIGHT = 486, 300  # points: two columns of a paper
COMPOSED = ("hconcat", "vconcat", "concat", "facet", "repeat")
DATA = ("datasets", "values")  # where words are data and no instructions
NOWHERE: list[str] = []  # of all addresses the renderer may open none
ENLARGED = 1.6  # a meeting's type against a page's


def frozen_spec(chart: Any) -> Spec:
    """A chart's specification with all its data, drawn for a light page.

    Raises:
        UserError: it would load something from elsewhere
    """
    with alt.data_transformers.disable_max_rows():
        found: Spec = plain(chart.to_dict())
    require_inline(found)
    return _coloured(found, "light")


def require_inline(spec: Any) -> None:
    """Refuse a specification that would load data or pictures, or open an address on a click.

    Raises:
        UserError: it is no specification, or names an address
    """
    if not isinstance(spec, Mapping) or not spec:
        raise UserError("A chart's block holds no Vega-Lite specification.")
    for key in _keys(spec):
        if key in ("url", "href"):
            raise UserError(f"A report's chart holds its data; this one names an address ({key}).")


def _keys(value: Any) -> Iterator[str]:
    """All keys of a specification, those of its data left out."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield str(key)
            if key not in DATA:
                yield from _keys(one)
    elif isinstance(value, list):
        for one in value:
            yield from _keys(one)


def _coloured(spec: Mapping[str, Any], theme: str) -> Spec:
    """The specification with the colours that are a page's own, not a method's, changed for a theme."""
    text, other = json.dumps(spec), "light" if theme == "dark" else "dark"
    for colours in (GROUND, ANCHOR):
        text = text.replace(f'"{colours[other]}"', f'"{colours[theme]}"')
    found: Spec = json.loads(text)
    return found


def for_page(spec: Mapping[str, Any], theme: str, large: bool = False) -> Spec:
    """The specification as a page shows it: the page's width, its theme's colours, larger type in a meeting."""
    require_inline(spec)
    found = _coloured(spec, theme)
    found["usermeta"] = SVG  # what was stored could tell the page's renderer to load something
    config = dict(found.get("config", {}))
    for name in ("background", "font"):
        config.pop(name, None)
    found["config"] = config
    if not _composed(found):
        found.pop("width", None)
        found.pop("height", None)
    return _enlarged(found) if large else found


def _composed(spec: Mapping[str, Any]) -> bool:
    return any(name in spec for name in COMPOSED)


def _enlarged(spec: Spec) -> Spec:
    """Larger type: that of axes and legends by configuration, that of labels in the picture where it is named."""
    sizes = {"labelFontSize": 17, "titleFontSize": 19}
    config = spec["config"]
    axis = {**config.get("axis", {}), **sizes, "titleFontWeight": "normal"}
    legend = {**config.get("legend", {}), **sizes, "labelLimit": 320, "symbolSize": 200}
    spec["config"] = {**config, "axis": axis, "legend": legend}
    _scale_type(spec)
    return spec


def _scale_type(value: Any) -> None:
    if isinstance(value, dict):
        if value.get("type") == "text" and isinstance(value.get("fontSize", 11), int | float):
            value["fontSize"] = round(value.get("fontSize", 11) * ENLARGED)
        for key, one in value.items():
            if key not in (*DATA, "config"):
                _scale_type(one)
    elif isinstance(value, list):
        for one in value:
            _scale_type(one)


def for_paper(spec: Mapping[str, Any], width: int = WIDTH, height: int = HEIGHT) -> Spec:
    """The specification at a stated size in points, on white, in a font that files embed."""
    require_inline(spec)
    found = _coloured(copy.deepcopy(dict(spec)), "light")
    if not _composed(found):
        tall = found.get("height")
        found["width"] = width
        found["height"] = min(tall, height) if isinstance(tall, int | float) else height
    config = dict(found.get("config", {}))
    axis = {"labelFontSize": 9, "titleFontSize": 10, "titleFontWeight": "normal"}
    legend = {"labelFontSize": 9, "titleFontSize": 10, "labelLimit": 260}
    config |= {"font": FONT, "background": "white"}
    config["axis"] = {**config.get("axis", {}), **axis}
    config["legend"] = {**config.get("legend", {}), **legend}
    return {**found, "config": config}


def svg(spec: Mapping[str, Any]) -> str:
    """The paper's copy as SVG with real text."""
    return str(vl_convert.vegalite_to_svg(for_paper(spec), allowed_base_urls=NOWHERE))


def png(spec: Mapping[str, Any]) -> bytes:
    """The paper's copy as a bitmap at 300 dots per inch."""
    return bytes(vl_convert.vegalite_to_png(for_paper(spec), ppi=300, allowed_base_urls=NOWHERE))


def pdf(spec: Mapping[str, Any]) -> bytes:
    """The paper's copy as one page with its fonts embedded; the order of its font table varies from call to call."""
    return bytes(vl_convert.vegalite_to_pdf(for_paper(spec), allowed_base_urls=NOWHERE))
