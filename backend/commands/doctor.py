"""Is this machine fit? What is missing, and what to do about it."""

import argparse
import shutil
import subprocess
import sys
from importlib import metadata, util
from typing import Any

from backend.commands import Verbs, show, verb


def add(verbs: Verbs) -> None:
    """Add `doctor` and `bench`."""
    verb(verbs, "doctor", _doctor, "check Python, torch, GPU, database, disk and browser")
    verb(verbs, "bench", _bench, "measure speed as ratios within one run")


def _doctor(arguments: argparse.Namespace) -> int:
    checks = [
        _python(),
        _torch(),
        _gpu(),
        _devices(),
        _database(),
        _disk(),
        _artifacts(),
        _plugins(),
        _browser(),
    ]
    if arguments.json:
        show(checks)
    else:
        for check in checks:
            print(f"{'ok  ' if check['ok'] else 'look'} {check['name']:9} {check['says']}")
    return 0


def _check(name: str, ok: bool, says: str) -> dict[str, Any]:
    return {"name": name, "ok": ok, "says": says}


def _python() -> dict[str, Any]:
    version = sys.version.split()[0]
    fine = sys.version_info >= (3, 11)
    return _check("python", fine, version if fine else f"{version}; Lethe needs 3.11 or newer")


def _torch() -> dict[str, Any]:
    if util.find_spec("torch") is None:
        return _check("torch", False, "not installed; run `make demo`, which installs it")
    return _check("torch", True, metadata.version("torch"))


def _gpu() -> dict[str, Any]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return _check("gpu", True, "none; runs use the CPU, one thread each")
    command = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    fine = told.returncode == 0
    return _check("gpu", fine, told.stdout.strip() if fine else "nvidia-smi fails; see its output")


def _devices() -> dict[str, Any]:
    from backend.engines.devices import gpus

    count = len(gpus())
    if not count:
        return _check("devices", True, "a CPU thread for every run; `work --devices N` takes N")
    if count == 1:
        return _check("devices", True, "one GPU, which all slots share")
    says = f"{count} GPUs, which slots take in turn; `work --devices {count}` gives all to each run"
    return _check("devices", True, says)


def _database() -> dict[str, Any]:
    from backend.commands import existing_database
    from db.session import DatabaseProblem, database_url

    try:
        found = existing_database()
    except DatabaseProblem as problem:
        return _check("database", False, str(problem))
    return _check(
        "database", True, database_url() if found else "none yet; the first study makes it"
    )


def _disk() -> dict[str, Any]:
    from backend.commands import existing_database
    from backend.disk_forecast import disk_forecast
    from db.session import DatabaseProblem

    try:
        found = disk_forecast(existing_database())
    except DatabaseProblem:  # which its own line tells of
        found = disk_forecast(None)
    if not found.fits:
        return _check("disk", False, found.warning)
    says = f"{found.words}, at {found.place}"
    return _check("disk", found.free > 1e9, says if found.free > 1e9 else f"{says}; free some space")  # fmt: skip


def _artifacts() -> dict[str, Any]:
    from backend.artifacts import checked
    from backend.stage import RunFailed, UserError

    try:
        found = checked()
        if found is None:
            return _check("artifacts", True, "LETHE_ARTIFACTS is not set; models lie in the data directory")  # fmt: skip
        kept = found.contents()
    except (UserError, RunFailed, OSError) as problem:
        return _check("artifacts", False, str(problem))
    return _check("artifacts", True, f"{len(kept)} models ({sum(kept.values()) / 1e9:.2f} GB) at {found.shown}")  # fmt: skip


def _plugins() -> dict[str, Any]:
    from backend import plugins

    found = plugins.found()
    if found.refused:
        return _check("plugins", False, " ".join(found.refused))
    names = ", ".join(name for _, name in found.parts)
    return _check("plugins", True, names or "none; docs/python.md says how to write one")


def _browser() -> dict[str, Any]:
    found = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "firefox"))), None)
    says = found or "none found; any browser on this machine will do, browser tests need chromium"
    return _check("browser", True, says)


def _bench(arguments: argparse.Namespace) -> None:
    import importlib
    import pkgutil

    from backend import benchmarks

    found = {}
    for module in pkgutil.iter_modules(benchmarks.__path__):
        print(f"{module.name} …", file=sys.stderr, flush=True)
        found[module.name] = importlib.import_module(f"backend.benchmarks.{module.name}").run()
    if arguments.json:
        return show(found)
    for name, ratios in found.items():
        print(name)
        for ratio, value in ratios.items():
            print(f"  {ratio:28} {value:.2f}")
    return None
