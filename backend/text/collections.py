"""Benchmarks that come as many files: a folder as published, or a dataset of the hub with configurations and splits."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backend.stage import UserError
from backend.text.corpora import SAMPLE, Corpus, generated, of_sources
from backend.text.sources import KINDS

Rows = Callable[[], Iterable[dict[str, Any]]]


@dataclass(frozen=True)
class Collection:
    """Where a benchmark's parts are found; `sample` generates them by name, CONFIGURATION/SPLIT."""

    benchmark: str
    root: str
    sample: Mapping[str, Rows] = field(default_factory=dict)

    def part(self, config: str, split: str) -> Corpus:
        """The rows of a part.

        Raises:
            UserError: it is not there
        """
        found = self.optional(config, split)
        if found is None:
            raise UserError(
                f"{self.benchmark}: {self.root} has no {config}/{split}; expected is one of the files {config}/{split} or"
                f" {config}, ending with {', '.join(KINDS)}."
            )
        return found

    def optional(self, config: str, split: str) -> Corpus | None:
        """The same, None where the folder or the sample has no such part; the hub is asked only when rows are read."""
        name = f"{config}/{split}"
        if self.root == SAMPLE:
            rows = self.sample.get(name)
            return generated(f"{self.benchmark}:{name}", rows) if rows else None
        folder = Path(os.path.expanduser(self.root))
        if folder.is_dir():
            files = _files(folder, config, split)
            return of_sources(",".join(map(str, files))) if files else None
        dataset, _, revision = self.root.partition("@")
        return of_sources(f"{dataset}:{config}" + (f"@{revision}" if revision else ""), split=split)


def collection(benchmark: str, root: str, sample: Mapping[str, Rows], published: str) -> Collection:
    """The benchmark in a folder, of a name on the hub, or its sample.

    Raises:
        UserError: none is named
    """
    if not root.strip() or "," in root:
        raise UserError(
            f"{benchmark}: source = {root!r} must be a folder with its files, a dataset of the hub such as {published}, or"
            f" {SAMPLE!r} for an invented one."
        )
    return Collection(benchmark, root.strip(), sample)


def _files(folder: Path, config: str, split: str) -> list[Path]:
    """The files of a part: CONFIG/SPLIT.json and the like, the pieces of CONFIG/SPLIT-*.parquet, or CONFIG.json alone."""
    exact = [folder / config / f"{split}{kind}" for kind in KINDS]
    pieces = sorted((folder / config).glob(f"{split}-*.parquet"))
    alone = [folder / f"{config}{kind}" for kind in KINDS]
    single = next((path for path in (*exact, *alone) if path.is_file()), None)
    return pieces or ([single] if single else [])
