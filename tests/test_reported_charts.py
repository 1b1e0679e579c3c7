"""The picture of what others report: which metrics first, every model a point, base and oracle apart."""

import pandas as pd

from backend import exports
from backend.charts.reported import MOST_NAMED, first_axes, reported_chart
from backend.importers import uds
from backend.reported import Metric

DECLARED = {name: metric.declared() for name, metric in uds.METRICS.items()}


def rows(methods: list[str]) -> pd.DataFrame:
    count = range(len(methods))
    return pd.DataFrame(
        {
            "model": [f"model {n}" for n in count],
            "method": methods,
            "utility": [n / 10 for n in count],
            "uds": [None if n == 1 else n / 20 for n in count],
        }
    )


def test_the_first_picture_is_what_is_kept_against_what_is_forgotten() -> None:
    assert first_axes(DECLARED) == ("utility", "uds")
    alone = {"acc": Metric("Accuracy", "up", "higher").declared()}
    assert first_axes(alone) == ("acc", "acc")
    assert first_axes({"a": Metric("A").declared(), "b": Metric("B").declared()}) == ("a", "b")


def test_models_without_a_number_have_no_point() -> None:
    drawn = reported_chart(rows(["base", "npo", "npo", "oracle"]), "utility", "uds", DECLARED)
    spec = drawn.to_dict()
    (points,) = spec["datasets"].values()
    assert [row["model"] for row in points] == ["model 0", "model 2", "model 3"]
    texts = [layer["mark"]["text"] for layer in spec["layer"] if layer["mark"]["type"] == "text"]
    assert texts == ["base", "oracle"]
    first = spec["layer"][0]["encoding"]
    assert first["x"]["title"] == "Utility (harmonic mean of TOFU model utility and fluency) (↑ better)"  # fmt: skip
    assert first["color"]["scale"]["domain"] == ["npo"]
    assert exports.png(drawn).startswith(b"\x89PNG")


def test_too_many_methods_have_no_legend() -> None:
    many = reported_chart(rows([f"m{n}" for n in range(MOST_NAMED + 2)]), "utility", "uds", DECLARED)  # fmt: skip
    assert "color" not in many.to_dict()["layer"][0]["encoding"]
