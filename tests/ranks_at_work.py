"""A process and one more as the two ranks of a run: what they do is compared with what one device does, and printed.

It is a process of its own, since joining a group of ranks changes a process for good. The last line it prints is JSON.
"""

import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from backend import checkpoints, chunked, recipe
from backend.crew import Crew
from backend.settings import build_task
from backend.stage import Cancelled, RunFailed, StageOutcome, StageRequest
from tests.small import PARAMETERS, Kept
from tests.test_language import SMALL

torch.set_num_threads(1)
SETTINGS: dict[str, dict[str, Any]] = {
    "arithmetic": {**PARAMETERS, "base_steps": 30},
    "language": {**SMALL, "base_steps": 20},
}
LEDGER = ("steps", "tokens", "flops", "note")


class Killing(Kept):
    """A sink that ends a process once the run has asked so often whether it shall stop."""

    def __init__(self, pid: int, after: int):
        super().__init__()
        self.pid, self.after = pid, after

    def cancelled(self) -> bool:
        self.asked += 1
        if self.asked == self.after:
            os.kill(self.pid, signal.SIGKILL)
        return False


class Bench:
    """Runs done on one device (`alone`) or on two (`none` or `full`, after the sharding), in one data directory."""

    def __init__(self, home: Path):
        self.home, self.crew = home, Crew(2)

    def do(
        self, how: str, name: str, stage: str, part: str = "", sink: Any = None, **given: Any
    ) -> tuple[StageOutcome, Kept]:
        """One run; its fingerprint is the name, its setting `task`, and the rest its parameters."""
        task, parent = given.pop("task", "arithmetic"), given.pop("parent", None)
        setting = {"name": task, "parameters": SETTINGS[task]}
        setting["content_hash"] = build_task(task, SETTINGS[task]).content_hash
        precision = given.pop("precision", "fp32")
        request = StageRequest(
            stage, part or stage, given, setting, 0, precision, name, self.home, parent
        )
        kept = sink or Kept()
        if how == "alone":
            return recipe.execute(request, kept), kept
        self.crew.sharding = how
        return self.crew.execute(request, kept), kept

    def weights(self, name: str) -> dict[str, torch.Tensor]:
        return checkpoints.read(checkpoints.directory(self.home, name) / checkpoints.MODEL)[0]

    def apart(self, one: str, other: str) -> float:
        """The largest difference between two stored models' weights."""
        a, b = self.weights(one), self.weights(other)
        assert a.keys() == b.keys()
        return max(float((a[name] - b[name]).abs().max()) for name in a)

    def compared(self, tag: str, *run: Any, **given: Any) -> dict[str, Any]:
        """The same run on one device and on two, in both ways; models are `tag` + 0, 1, 2."""
        outcome, kept = self.do("alone", f"{tag}0", *run, **given)
        found: dict[str, Any] = {"alone": told(outcome, kept)}
        for number, how in enumerate(("none", "full"), start=1):
            outcome, kept = self.do(how, f"{tag}{number}", *run, **given)
            found[how] = told(outcome, kept)
            if outcome.files:
                found[how]["apart"] = self.apart(f"{tag}0", f"{tag}{number}")
        return found


def told(outcome: StageOutcome, kept: Kept) -> dict[str, Any]:
    rows = {
        "/".join(map(str, (r.metric, r.split, r.category, r.step, r.count))): r.value
        for r in kept.rows
    }
    answers = sorted(json.dumps(asdict(answer)) for answer in kept.answers)
    return {name: getattr(outcome, name) for name in LEDGER} | {"rows": rows, "answers": answers}


def equal_to_one_device(bench: Bench) -> dict[str, Any]:
    """Every stage of a study, with batches that two ranks cannot halve and batches that make a step together."""
    distilled = {"alpha": 0.4, "check_every": 4, "warmup": 2}
    found = {"base": bench.compared("ab", "base")}
    once = {"parent": "ab0", "batch_size": 15, "steps": 6, "accumulate": 2}
    found["max_ent"] = bench.compared("am", "suppress", "max_ent", **once)
    found["npo"] = bench.compared("an", "suppress", "npo", parent="ab0", batch_size=15, steps=4)
    found["undo"] = bench.compared(
        "au", "robustify", "undo", parent="am0", steps=60, tolerance=0.1, **distilled
    )
    found["relearn"] = bench.compared("ar", "attack", "relearn", parent="au0", steps=20)
    found["evaluate"] = bench.compared("ae", "evaluate", parent="au0")
    found["whole"] = bench.compared("aw", "suppress", "pdu", parent="ab0", batch_size=15, steps=3)
    return found


def language(bench: Bench) -> dict[str, Any]:
    """The same on text, whose rows differ in their scored tokens; at last with logits made in chunks."""
    given: dict[str, Any] = {"task": "language"}
    found = {"base": bench.compared("lb", "base", **given)}
    once = {"parent": "lb0", "batch_size": 7, "steps": 4, "accumulate": 2}
    found["max_ent"] = bench.compared("lm", "suppress", "max_ent", **once, **given)
    distilled: dict[str, Any] = {
        "alpha": 0.3,
        "steps": 12,
        "tolerance": 0.02,
        "check_every": 3,
        "warmup": 2,
    }
    distilled |= {"retain_batch": 8, "forget_batch": 5, "parent": "lm0"}
    found["undo"] = bench.compared("lu", "robustify", "undo", **distilled, **given)
    relearned = {"parent": "lu0", "steps": 6, "batch_size": 9, "evaluate_every": 3}
    found["relearn"] = bench.compared("lr", "attack", "relearn", **relearned, **given)
    found["evaluate"] = bench.compared("le", "evaluate", parent="lu0", **given)
    found["bf16"] = bench.compared("lh", "base", precision="bf16", **given)
    return found


def interrupted(bench: Bench) -> dict[str, Any]:
    """A cancelled run goes on where it stopped, with the same ranks bit for bit."""
    found = {}
    for how in ("none", "full"):
        name = f"stopped{how}"
        with suppress(Cancelled):
            bench.do(how, name, "base", sink=Kept(stop_after=17))
        step = checkpoints.resume_step(bench.home, name)
        assert not bench.crew.broken, "a cancelled run leaves its ranks at work"
        bench.do(how, name, "base")
        found[how] = {"step": step, "apart": bench.apart(f"ab{1 + (how == 'full')}", name)}
        with suppress(Cancelled):
            bench.do(how, f"{name}alone", "base", sink=Kept(stop_after=17))
        bench.do("alone", f"{name}alone", "base")
        found[how]["finished_alone"] = bench.apart("ab0", f"{name}alone")
    return found


def in_chunks(bench: Bench) -> dict[str, Any]:
    """A large vocabulary's losses, whose head's weight is used by itself: on both ranks every batch counts as large."""
    return bench.compared("lc", "suppress", "max_ent", parent="lb0", steps=3, task="language")


def listening() -> list[str]:
    """The addresses, as in /proc, at which this process and those it started listen."""
    mine = {os.getpid(), *children()}
    owned = set()
    for pid in mine:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                owned.add(os.readlink(entry))
    lines = [line for kind in ("tcp", "tcp6") for line in _lines(Path(f"/proc/net/{kind}"))]
    return [w[1].split(":")[0] for w in lines if w[3] == "0A" and f"socket:[{w[9]}]" in owned]


def _lines(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines()[1:]] if path.exists() else []


def children() -> list[int]:
    path = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return [int(pid) for pid in path.read_text().split()]


def lost(bench: Bench) -> dict[str, Any]:
    """A rank that dies in the middle of a run."""
    try:
        bench.do("none", "lost", "base", sink=Killing(bench.crew.members[0].process.pid, 8))
    except RunFailed as problem:
        return {"sentence": str(problem), "broken": bench.crew.broken}
    return {}


def refused(bench: Bench) -> str:
    """What a training says that cannot have its weights in shards."""
    mask = {"name": "wagle", "keep": 0.5}
    try:
        bench.do("full", "refused", "suppress", "max_ent", parent="ab0", steps=2, mask=mask)
    except RunFailed as problem:
        return str(problem)
    return ""


def main(home: Path, what: str) -> None:
    bench = Bench(home)
    found: dict[str, Any] = {"children": len(children()), "listening": listening()}
    with bench.crew:
        if what == "chunks":
            chunked.LARGE = 1
            bench.do("alone", "ab0", "base")
            bench.do("alone", "lb0", "base", task="language")
            found["chunks"] = in_chunks(bench)
            found["refused"] = refused(bench)
        else:
            found["arithmetic"] = equal_to_one_device(bench)
            found["language"] = language(bench)
            found["interrupted"] = interrupted(bench)
            found["lost"] = lost(bench)
    found["left"] = children()
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
