"""Submitting, working off and steering the queue."""

import argparse
import sys
from pathlib import Path
from typing import Any

from backend.commands import Verbs, database, existing_database, show, verb
from backend.stage import UserError

GPU_RATE = 0.4 * 989e12  # FLOP/s


def add(verbs: Verbs) -> None:
    """Add the verbs of the queue."""
    submit = verb(verbs, "submit", _submit, "queue a study's runs; those that exist are reused")
    submit.add_argument("study", help="a study's name or the path of a TOML file")
    submit.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    submit.add_argument("--dry-run", action="store_true", help="only say what would be queued")
    work = verb(verbs, "work", _work, "claim and execute runs")
    work.add_argument("--until-idle", action="store_true", help="return when nothing is left")
    work.add_argument("--slots", type=count, help="runs at a time")
    _devices(work, "of this machine for every run")
    engine_words(work)
    work.add_argument(
        "--lease", type=float, default=30.0, help="seconds a silent run is waited for"
    )
    run = verb(verbs, "run", _run, "do one claimed run here, or with --serve be a slot")
    run.add_argument("run", type=int, nargs="?")
    run.add_argument("--attempt", type=int)
    run.add_argument("--lease", type=float, default=30.0, help="seconds a silent run is waited for")
    run.add_argument("--serve", action="store_true", help="read RUN ATTEMPT lines")
    run.add_argument("--prompts", metavar="NAME", help="answer what the playground asks")
    run.add_argument("--idle", type=float, default=180.0, help="seconds without a prompt; then end")
    _devices(run, "to do it on")
    run.add_argument("--rank", type=count, help=argparse.SUPPRESS)  # which of them to be
    run.add_argument("--store", type=Path, help=argparse.SUPPRESS)  # where they find one another
    _steering(verbs)


def engine_words(words: Any) -> None:
    """Add where runs execute, for every verb that works."""
    words.add_argument("--engine", default="local", help="local, ray or slurm: where runs execute")
    words.add_argument(
        "--engine-option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="of ray: address, cpus, gpus, memory_gb, most; of slurm: partition, minutes, cpus, gpus, memory_gb, most …",
    )


def _devices(words: Any, what: str) -> None:
    from backend.engines.devices import SHARDINGS

    words.add_argument("--devices", type=count, default=1, metavar="N", help=f"devices {what}")
    words.add_argument(
        "--sharding",
        choices=SHARDINGS,
        default="none",
        help="none: every device holds the model; full: weights in training are spread over them",
    )


def _steering(verbs: Verbs) -> None:
    many: dict[str, Any] = {"nargs": "+", "metavar": "RUN_OR_STUDY"}
    cancel = verb(verbs, "cancel", _cancel, "stop runs, or all of a study's")
    cancel.add_argument("runs", **many)
    retry = verb(verbs, "retry", _retry, "queue failed and cancelled runs again")
    retry.add_argument("runs", **many)
    retry.add_argument("--fresh", action="store_true", help="from the start, not from a kept state")
    pause = verb(verbs, "pause", _pause, "stop claiming; what runs goes on")
    pause.add_argument("--off", action="store_true", help="go on claiming")
    delete = verb(verbs, "delete", _delete, "delete a study and the runs that no other study has")
    delete.add_argument("study")
    verb(verbs, "status", _status, "what runs, what waits, what failed")


def count(text: str) -> int:
    """A number of things as an argument; argparse says where it is none."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _submit(arguments: argparse.Namespace) -> None:
    from backend import service, study

    told = service.submit(study.load(arguments.study, arguments.set), arguments.dry_run)
    if arguments.json:
        return show(told)
    what = "would be" if arguments.dry_run else "are"
    print(f"{told['study']}: {told['new']} new runs {what} queued, {told['existing']} exist.")
    if told.get("stopped"):
        print(
            f"{told['stopped']} of its runs failed or were cancelled, and what needs them waits;"
            f" `retry {told['study']}` queues them again."
        )
    print(
        f"Forecast: {told['flops']:.2g} FLOPs, {_how_long(told)},"
        f" {told['memory_bytes'] / 1e9:.1f} GB of memory, {told['disk_bytes'] / 1e6:.1f} MB of disk"
        f" (from {told['basis']})."
    )
    if told["disk"]["warning"]:
        print(told["disk"]["warning"])
    if told.get("absent"):
        print(f"It cannot be queued as yet: {told['absent']}")
    return None


def _how_long(told: dict[str, Any]) -> str:
    """The time here; where that is days, the hours of one large GPU too."""
    if told["seconds"] < 2 * 86400:
        return f"about {told['seconds'] / 60:.1f} minutes"
    hours = told["flops"] / GPU_RATE / 3600
    return f"about {told['seconds'] / 86400:.0f} days here, {hours:.1f} hours of an H200 at 40 % of its bf16 rate"


def _work(arguments: argparse.Namespace) -> int:
    if arguments.lease <= 0:
        raise UserError(f"--lease {arguments.lease:g} must be above 0 seconds.")
    from backend.engines.devices import Devices

    devices = Devices(arguments.devices, arguments.sharding)
    devices.check()
    from backend.engines.choosing import chosen
    from backend.working import Progress, work_off

    place = chosen(arguments.engine, arguments.engine_option, devices)
    tell = Progress(database()).tell
    return work_off(arguments.slots, arguments.until_idle, arguments.lease, tell, place)


def _run(arguments: argparse.Namespace) -> int:
    from backend import child
    from backend.engines.devices import Devices
    from backend.patience import patiently

    devices, sharding = arguments.devices, arguments.sharding
    if arguments.rank is not None:
        from backend.crew import assist

        return assist(arguments.rank, devices, arguments.store)
    if arguments.prompts:
        from backend.playground.server import serve

        return serve(arguments.prompts, arguments.idle)
    if arguments.serve:
        return child.serve(devices=devices, sharding=sharding)
    if arguments.run is None or arguments.attempt is None:
        raise UserError("run needs RUN and --attempt N, or --serve, or --prompts NAME.")
    if devices > 1 or sharding != "none":
        Devices(devices, sharding).check()
    engine = patiently(existing_database)  # a worker started this, perhaps far away
    if engine is None:
        raise UserError(f"There is no run {arguments.run}: there is no database yet.")
    held: dict[str, Any] = {"lease_seconds": arguments.lease, "stopping": child.told_to_return()}
    if devices == 1:
        ended = child.run_once(engine, arguments.run, arguments.attempt, **held)
    else:
        with child.recruited(devices, sharding) as crew:
            ended = child.run_once(engine, arguments.run, arguments.attempt, crew=crew, **held)
    print(ended, file=sys.stderr)
    return 0 if ended == "complete" else 1


def _told(arguments: argparse.Namespace, told: dict[str, Any]) -> None:
    if arguments.json:
        return show(told)
    what, count = next(iter(told.items()))
    print(f"{count} runs {what}.")
    return None


def _cancel(arguments: argparse.Namespace) -> None:
    from backend import service

    _told(arguments, service.cancel(arguments.runs))


def _retry(arguments: argparse.Namespace) -> None:
    from backend import service

    _told(arguments, service.retry(arguments.runs, arguments.fresh))


def _pause(arguments: argparse.Namespace) -> None:
    from backend import service

    told = service.pause(not arguments.off)
    show(told) if arguments.json else print(f"The queue is {told['queue']}.")


def _delete(arguments: argparse.Namespace) -> None:
    from backend import service

    _told(arguments, service.delete(arguments.study))


def _status(arguments: argparse.Namespace) -> None:
    from backend import service

    told = service.status()
    if arguments.json:
        return show(told)
    if not told["counts"]:
        return print("Nothing was submitted yet.")
    counts = ", ".join(f"{count} {state}" for state, count in told["counts"].items() if count)
    print(f"{counts or 'no runs'}{'; the queue is paused' if told['paused'] else ''}")
    left = told["seconds_left"]
    busy = told["counts"]["running"] + told["counts"]["waiting"] - told["counts"]["blocked"]
    print(
        f"{len(told['workers'])} workers{f', about {left / 60:.1f} minutes left' if busy and left is not None else ''}"
    )
    for row in [*told["running"], *told["failed"]]:
        how = row["error"] or f"step {row['step']} of {row['steps_total']} {row['message'] or ''}"
        print(f"  run {row['id']}: {row['stage']} {row['name']}, seed {row['seed']}: {how}")
    return None
