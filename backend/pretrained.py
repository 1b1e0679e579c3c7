"""Released models, free of torch and transformers: what a folder or a name on the hub holds, before anything is loaded.

Weights are safetensors or they are not read, and no code that comes with a model is ever run.
"""

import ast
import hashlib
import importlib.util
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from backend.flops import GATED, PLAIN
from backend.stage import UserError
from backend.text import hub
from backend.text.absent import is_outlining
from db.session import home

WEIGHTS, PICKLES = (".safetensors",), (".bin", ".pt", ".pth", ".ckpt")
CARD = "README.md"
# Of a configuration's fields these say nothing of the model itself.
BESIDE = ("architectures", "transformers_version", "torch_dtype", "dtype", "model_type", "auto_map")


def released(name: str, revision: str = "") -> dict[str, Any]:
    """The specification of a released model: a folder that `save_pretrained` made, or a name on the hub.

    Holds `family`, `pretrained` (absolute folder or name), `revision` (of a name the commit), `weights` (a hash of the
    folder's weights; the commit stands for a name's), `license`, and the fields of config.json that are plain values.

    Raises:
        UserError: there is no such model, or it has pickled weights only, needs code of its own, or is no causal
            language model that transformers knows
    """
    folder = _folder(name)
    if folder is not None:
        if revision:
            raise UserError(f"{name} is a folder, which has no revision {revision!r}; leave it out.")  # fmt: skip
        source, commit, files = str(folder), "", sorted(p.name for p in folder.iterdir())
    else:
        folder, files = _from_hub(name, revision)
        source, commit = name, folder.name
    config = _config(folder, name)
    family = _family(config, name)
    _has_weights(files, name)
    if "vocab_size" not in config:
        raise UserError(
            f"config.json of {name} names no vocab_size, so its tokens cannot be counted."
        )
    return {
        **_plain(config),
        **_counted(folder, config, family),
        "family": family,
        "pretrained": source,
        "revision": commit,
        "weights": commit or weights_hash(folder),
        "license": license_of(folder),
    }


def _folder(name: str) -> Path | None:
    """The folder of that name, absolute; None where there is none."""
    if not name.strip() or "\0" in name:
        raise UserError(f"{name!r} is neither a folder nor the name of a model on the hub.")
    path = Path(os.path.expanduser(name))  # leaves a user that there is not as it is
    if path.is_file():
        raise UserError(f"{name} is a file; give the folder that has the model's config.json.")
    return path.resolve() if path.is_dir() else None


def _from_hub(name: str, revision: str) -> tuple[Path, list[str]]:
    """The folder of the cache that has configuration and card of a commit, and the names of the commit's files."""
    hub.prepare()
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as problem:
        raise UserError(f"{name!r} is neither an existing folder nor a name on the hub such as OWNER/NAME.") from problem  # fmt: skip
    wanted: dict[str, Any] = {"revision": revision or None, "allow_patterns": ["config.json", CARD]}
    try:
        # A commit never changes, so what the cache has of it needs no network.
        known = is_outlining() or (len(revision) == 40 and _cached(name, revision))
        found = snapshot_download(name, local_files_only=known, **wanted)  # nosec B615 - its commit is pinned
    except LocalEntryNotFoundError as problem:
        raise UserError(_unreachable(name, revision)) from problem
    except (HfHubHTTPError, OSError, ValueError) as problem:
        which = f"{name} at {revision}" if revision else name
        raise UserError(f"The hub gives no model {which}: {type(problem).__name__}; see `hf download {name}`, or give a local folder.") from problem  # fmt: skip
    folder = Path(found)
    files = sorted(path.name for path in folder.iterdir())
    if not any(file.endswith(WEIGHTS) for file in files):
        try:
            files = HfApi().list_repo_files(name, revision=folder.name)
        except (HfHubHTTPError, OSError, ValueError) as problem:
            raise UserError(_unreachable(name, revision)) from problem
    return folder, files


def _cached(name: str, commit: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, "config.json", revision=commit), str)


def _unreachable(name: str, revision: str) -> str:
    which = f" --revision {revision}" if revision else ""
    return (
        f"{name} is no folder, is not in the local cache of the hub, and the hub cannot be reached: run"
        f" `hf download {name}{which}` where there is a network, or give the path of a local folder."
    )


def _config(folder: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as problem:
        raise UserError(f"{name} has no config.json, so it is no model that transformers saved.") from problem  # fmt: skip
    except (OSError, ValueError) as problem:
        raise UserError(f"config.json of {name} cannot be read: {problem}.") from problem
    if not isinstance(found, dict):
        raise UserError(f"config.json of {name} holds no fields.")
    return found


def _family(config: Mapping[str, Any], name: str) -> str:
    """The family of a causal language model that transformers itself can make."""
    family = str(config.get("model_type") or "")
    known = causal_families()
    if family in known and "text_config" not in config:
        return family
    if config.get("auto_map") and family not in known:
        raise UserError(f"{name} needs code that comes with it (family {family!r}); code of a model is never run here.")  # fmt: skip
    if not family:
        raise UserError(f"config.json of {name} names no model_type, so its family is unknown.")
    if "text_config" in config:
        raise UserError(f"{name} is a {family} model for more than text; give one that is a language model alone.")  # fmt: skip
    raise UserError(f"{name} is a {family} model, and transformers has no causal language model of that family.")  # fmt: skip


@lru_cache(maxsize=1)
def causal_families() -> frozenset[str]:
    """The families whose causal language models transformers has, read from its source without importing it."""
    package = importlib.util.find_spec("transformers")
    assert package is not None and package.submodule_search_locations
    root = Path(package.submodule_search_locations[0])
    tree = ast.parse((root / "models/auto/modeling_auto.py").read_text(encoding="utf-8"))
    for node in tree.body:
        named = isinstance(node, ast.Assign) and ast.unparse(node.targets[0])
        if named == "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES":
            pairs = ast.literal_eval(node.value.args[0])  # type: ignore[attr-defined]
            return frozenset(family for family, _ in pairs)
    raise AssertionError("transformers lists its causal language models elsewhere now")


def _has_weights(files: list[str], name: str) -> None:
    if any(file.endswith(WEIGHTS) for file in files):
        return
    if any(file.endswith(PICKLES) for file in files):
        raise UserError(f"{name} has its weights as pickles only, which are never read: safetensors only; save it again with save_pretrained.")  # fmt: skip
    raise UserError(f"{name} has no weights: there is no *.safetensors file beside its config.json.")  # fmt: skip


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are single values; lists and tables stay where transformers reads them itself."""
    plain = (str, int, float, bool, type(None))
    return {
        key: value
        for key, value in config.items()
        if isinstance(value, plain) and not key.startswith("_") and key not in BESIDE
    }


def _counted(folder: Path, config: Mapping[str, Any], family: str) -> dict[str, Any]:
    """What counting parameters and FLOPs takes and config.json may leave out, from the headers of the weights."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        return {}
    shapes = {name: shape for file in files for name, shape in _shapes(file).items()}
    outer = any(name.split(".")[-2:-1] in (["lm_head"], ["embed_out"]) for name in shapes)
    found: dict[str, Any] = {}
    if "tie_word_embeddings" not in config:
        found["tie_word_embeddings"] = not outer
    if family not in GATED | PLAIN:
        found["block_weights"] = _block_weights(shapes, config)
    return found


def _shapes(file: Path) -> dict[str, list[int]]:
    """The shape of every tensor of a safetensors file, from its header."""
    try:
        with open(file, "rb") as opened:
            size = int.from_bytes(opened.read(8), "little")
            if size > 100_000_000:  # the format's own limit
                raise ValueError("its header is too long")
            header = json.loads(opened.read(size))
    except (OSError, ValueError) as problem:
        raise UserError(f"{file} is no safetensors file: {problem}.") from problem
    return {name: told["shape"] for name, told in header.items() if name != "__metadata__"}


def _block_weights(shapes: Mapping[str, list[int]], config: Mapping[str, Any]) -> int:
    """Weights of the matrices that a token meets in all blocks; of a mixture those of the experts it is sent to."""
    names = ("num_local_experts", "num_experts", "n_routed_experts")
    experts = next((config[name] for name in names if config.get(name)), 1)
    share = config.get("num_experts_per_tok", 1) / experts if experts > 1 else 1.0
    total = 0.0
    for name, shape in shapes.items():
        inside = any(word.isdigit() for word in name.split("."))
        if inside and len(shape) >= 2:
            size = 1.0
            for length in shape:
                size *= length
            total += size * (share if ".experts." in name else 1.0)
    return round(total)


def license_of(folder: Path) -> str:
    """The licence that a model card's front matter names; empty where it names none."""
    try:
        text = (folder / CARD).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
    if not text.startswith("---"):
        return ""
    try:
        told = yaml.safe_load(text.split("---", 2)[1])
    except yaml.YAMLError:
        return ""
    named = told.get("license") if isinstance(told, dict) else None
    if named == "other":
        named = told.get("license_name") or named
    return ", ".join(map(str, named)) if isinstance(named, list) else str(named or "")


def weights_hash(folder: Path) -> str:
    """SHA-256 over the names and contents of a folder's safetensors files, read again only where one changed."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        digest.update(f"{file.name}:{_content(file)}\n".encode())
    return digest.hexdigest()


def _content(file: Path) -> str:
    told = file.stat()
    return _remembered(str(file.resolve()), told.st_size, told.st_mtime_ns)


@lru_cache(maxsize=256)
def _remembered(path: str, size: int, changed: int) -> str:
    """The hash of a file's content, kept in the data directory, where there is one, under path, size and time."""
    key = hashlib.sha256(f"{path}:{size}:{changed}".encode()).hexdigest()[:32]
    note = home() / "cache" / "weights" / key
    try:
        return note.read_text(encoding="ascii")
    except (OSError, ValueError):
        pass
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if home().is_dir():
        note.parent.mkdir(parents=True, exist_ok=True)
        temporary = note.with_name(f".{key}.{os.getpid()}")
        temporary.write_text(found, encoding="ascii")
        temporary.replace(note)
    return found
