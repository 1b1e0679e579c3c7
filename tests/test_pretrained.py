"""Released checkpoints: what is read of them, and what is refused in a sentence."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from transformers import AutoModelForCausalLM

from backend import pretrained
from backend.configurations import configuration
from backend.models import build, starting
from backend.pretrained import causal_families, license_of, released, weights_hash
from backend.stage import RunFailed, UserError
from tests.families import FOUR, checkpoint

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("models") / "llama", "llama")


@pytest.fixture
def own(llama: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(llama, tmp_path / "own"))


def change(folder: Path, **fields: object) -> None:
    path = folder / "config.json"
    known = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({k: v for k, v in known.items() if v is not ...}))


@pytest.mark.parametrize("family", FOUR)
def test_a_checkpoint_loads_by_path_exactly_as_transformers_loads_it(
    tmp_path: Path, family: str
) -> None:
    folder = checkpoint(tmp_path / family, family)
    spec = released(str(folder))
    assert (spec["family"], spec["pretrained"]) == (family, str(folder.resolve()))
    assert spec["license"] == "apache-2.0" and spec["revision"] == ""
    assert spec["hidden_size"] == 32 and spec["vocab_size"] == 60
    assert all(isinstance(v, (str, int, float, bool, type(None))) for v in spec.values())
    ours = starting(spec, 0).eval()
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    for (name, mine), (other, weight) in zip(
        ours.named_parameters(), theirs.named_parameters(), strict=True
    ):
        assert name == other and torch.equal(mine, weight)
    ids = torch.arange(12).view(2, 6) + 4
    with torch.no_grad():
        torch.testing.assert_close(ours(ids).logits, theirs(ids).logits)


def test_the_same_architecture_with_random_weights_keeps_the_released_configuration(
    tmp_path: Path,
) -> None:
    table = {"rope_type": "default", "rope_theta": 5e5}
    spec = released(str(checkpoint(tmp_path / "m", "llama", rope_parameters=table)))
    one, two, weights = build(spec, 0), build(spec, 1), starting(spec, 0)
    assert one.config.rope_parameters["rope_theta"] == 5e5
    assert one.config.initializer_range == 0.2  # not what new models have
    matrix = "model.layers.0.mlp.up_proj.weight"
    values = [dict(m.named_parameters())[matrix] for m in (one, two, weights)]
    assert not torch.equal(values[0], values[1]) and not torch.equal(values[0], values[2])
    assert torch.equal(build(spec, 0).state_dict()[matrix], values[0])
    # Vectors that training moved are where training starts from.
    assert torch.equal(one.model.norm.weight, torch.ones(32))
    assert not torch.equal(weights.model.norm.weight, torch.ones(32))


def test_the_hash_follows_the_weights_and_nothing_else(own: Path) -> None:
    before = released(str(own))
    (own / "README.md").write_text("# no front matter")
    after = released(str(own))
    assert before["weights"] == after["weights"] == weights_hash(own) and after["license"] == ""
    model = AutoModelForCausalLM.from_pretrained(own)
    with torch.no_grad():
        model.model.norm.weight[0] += 1.0
    model.save_pretrained(own)
    assert released(str(own))["weights"] != before["weights"]


def test_a_hash_is_kept_in_the_data_directory_only_where_there_is_one(
    own: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrained._remembered.cache_clear()
    found = weights_hash(own)
    assert not own_home.exists()
    own_home.mkdir()
    pretrained._remembered.cache_clear()
    assert weights_hash(own) == found
    pretrained._remembered.cache_clear()
    monkeypatch.setattr(pretrained.hashlib, "file_digest", lambda *_: pytest.fail("read again"))
    assert weights_hash(own) == found


def refused(name: object, says: str, revision: str = "") -> None:
    with pytest.raises(UserError) as caught:
        released(str(name), revision)
    sentence = str(caught.value)
    assert says in sentence and sentence.endswith(".") and "\n" not in sentence


def test_what_is_no_model_is_refused(own: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "config.json")
    refused(own / "config.json", "is a file")
    refused(own, "has no revision", "main")
    (own / "config.json").write_text("{")
    refused(own, "cannot be read")


@pytest.mark.parametrize(
    "name",
    ["../../etc", "a/b/c", "..", "", " ", "a\0b", "/no/such/place", "org/..", "~no-such-user/x"],
)
def test_a_name_that_is_neither_a_folder_nor_of_the_hub_reaches_no_path(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep/er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep/er")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError):
        released(name)


def test_pickles_are_never_read(own: Path) -> None:
    (own / "model.safetensors").rename(own / "pytorch_model.bin")
    refused(own, "safetensors only")
    (own / "pytorch_model.bin").unlink()
    refused(own, "no weights")


def test_code_of_a_model_is_never_run(own: Path) -> None:
    (own / "modeling_mine.py").write_text("raise SystemExit('ran')")
    table = {"AutoModelForCausalLM": "modeling_mine.Mine"}
    change(own, model_type="mine", auto_map=table)
    refused(own, "never run")
    # A family that transformers has itself is read by transformers' own code.
    change(own, model_type="llama")
    assert starting(released(str(own)), 0).config.model_type == "llama"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"model_type": "t5"}, "no causal language model"),
        ({"model_type": ...}, "no model_type"),
        ({"model_type": "gemma3", "text_config": {}}, "more than text"),
        ({"vocab_size": ...}, "no vocab_size"),
    ],
)
def test_other_models_are_refused(own: Path, fields: dict, says: str) -> None:
    change(own, **fields)
    refused(own, says)


def test_weights_that_are_missing_fail_a_run(own: Path) -> None:
    change(own, num_hidden_layers=3)
    with pytest.raises(RunFailed, match=r"lacks 9 weights .* model\.layers\.2"):
        starting(released(str(own)), 0)


def test_the_families_are_those_of_transformers() -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as names

    assert causal_families() == set(names)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("---\nlicense: mit\n---\n", "mit"),
        ("---\nlicense: other\nlicense_name: gemma\n---\n", "gemma"),
        ("---\nlicense: [mit, gpl]\n---\n", "mit, gpl"),
        ("---\n: [\n---\n", ""),
        ("---\n", ""),
        ("license: mit", ""),
    ],
)
def test_licences_stand_in_the_front_matter(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "README.md").write_text(text)
    assert license_of(tmp_path) == found


@pytest.fixture
def cache(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub, in its own layout, that holds one commit; the hub itself cannot be reached."""
    place = tmp_path / "hub" / "models--some--tiny"
    (place / "refs").mkdir(parents=True)
    (place / "refs/main").write_text(COMMIT)
    shutil.copytree(llama, place / "snapshots" / COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return place / "snapshots" / COMMIT


@pytest.mark.parametrize("revision", ["", "main", COMMIT])
def test_a_name_on_the_hub_is_pinned_to_its_commit(cache: Path, revision: str) -> None:
    spec = released("some/tiny", revision)
    assert (spec["pretrained"], spec["revision"]) == ("some/tiny", COMMIT)
    assert spec["weights"] == COMMIT and spec["license"] == "apache-2.0"
    model = starting(spec, 0)
    assert torch.equal(model.lm_head.weight, starting(released(str(cache)), 0).lm_head.weight)
    assert configuration(spec).origin["revision"] == COMMIT


def test_what_the_cache_lacks_is_to_be_downloaded(cache: Path) -> None:
    refused("some/other", "`hf download some/other`")
    refused("some/tiny", "`hf download some/tiny --revision v2`", "v2")
    (cache / "model.safetensors").unlink()
    refused("some/tiny", "hf download")


def test_reading_a_checkpoint_takes_neither_torch_nor_transformers(llama: Path) -> None:
    code = (
        "import sys; from backend import chat, sizes; from backend.pretrained import released;"
        f" released({str(llama)!r}); print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr[-2000:]
