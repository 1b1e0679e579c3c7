"""Parts, counts and shapes of models of many families, made from configurations."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from backend import architecture, study
from backend.batches import Loader
from backend.checkpoints import load_model, save_model
from backend.composition import run_method
from backend.flops import counted, forward_flops, parameters
from backend.models import Meter, build, frozen_copy, hidden_states, recomputes
from backend.noise import add_noise
from backend.pretrained import released
from backend.registry import load
from backend.representations import read_off
from backend.routing import ablated, expanded
from backend.shapes import scaled
from backend.stage import NotApplicable, RunFailed, UserError
from tests.families import FOUR, OWN, SIZES, checkpoint, task_on
from tests.small import Kept, context, small_task

torch.set_num_threads(1)
# Others that are counted and walked through too, with what their configurations call differently.
OTHERS: dict[str, dict[str, Any]] = {
    "gpt2": {"intermediate_size": None, "n_inner": 64},
    "gemma3_text": {"head_dim": 16, "num_key_value_heads": 2},
    "phi": {"num_key_value_heads": 2},
    "mistral": {"num_key_value_heads": 2},
    "qwen3": {"head_dim": 16, "num_key_value_heads": 2},
    "opt": {"intermediate_size": None, "ffn_dim": 64, "word_embed_proj_dim": 32},
    "falcon": {"intermediate_size": None},
    "bloom": {"intermediate_size": None, "max_position_embeddings": None},
    "phi3": {"num_key_value_heads": 2},
    "cohere": {"num_key_value_heads": 2},
    "starcoder2": {"num_key_value_heads": 2},
    "mixtral": {"num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2},
    "deepseek_v3": {
        "first_k_dense_replace": 2,
        "q_lora_rank": 8,
        "kv_lora_rank": 8,
    },  # unknown to the count
}
ALL = (*FOUR, *OTHERS)


def spec_of(family: str, **more: Any) -> dict[str, Any]:
    whole = {**SIZES, **OWN.get(family, {}), **OTHERS.get(family, {}), **more}
    return {"family": family, **{k: v for k, v in whole.items() if v is not None}}


@pytest.mark.parametrize("family", ["gpt_neox", "qwen2", "gpt2"])
def test_noise_takes_vectors_to_what_they_were_before_training(family: str) -> None:
    spec = spec_of(family)
    model, initial = build(spec, 1), build(spec, 2)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, 0.5, 0.3)
    add_noise(model, initial, 1.0, 0.0, torch.Generator())
    for name, weight in model.named_parameters():
        gain = weight.dim() == 1 and name.endswith("weight")
        assert torch.equal(weight, torch.full_like(weight, 1.0 if gain else 0.0)), name
    assert any(n.endswith("bias") for n, _ in model.named_parameters())


@pytest.mark.parametrize("family", ALL)
def test_weights_and_flops_are_counted_as_they_are(family: str) -> None:
    # The fused form of attention is not seen by torch's counter on a CPU.
    model = build({**spec_of(family), "attention": "eager"}, 0).eval()
    config = counted(model.config.to_dict(), lambda: architecture.block_weights(model))
    ids, kept = torch.arange(3 * 24).view(3, 24) % 60, torch.tensor([5, 23])
    stored = sum(w.numel() for w in model.parameters() if w.dim() >= 2)
    meter = Meter()
    with torch.no_grad(), FlopCounterMode(display=False) as counter, meter.watching(model):
        model(ids, logits_to_keep=kept, use_cache=False)
    assert parameters(config) == stored
    assert meter.flops == pytest.approx(counter.get_total_flops(), rel=0.02)
    assert meter.flops == forward_flops(config, 3, 24, 2)


def test_a_released_models_specification_counts_without_loading_it(tmp_path: Path) -> None:
    for family in (*FOUR, "gpt2", "deepseek_v3"):
        sizes = {k: v for k, v in spec_of(family).items() if k not in (*SIZES, "family")}
        spec = released(str(checkpoint(tmp_path / family, family, **sizes)))
        model = build(spec, 0)
        real = sum(w.numel() for w in model.parameters() if w.dim() >= 2)
        assert parameters(spec) == real, family


@pytest.mark.parametrize("family", [f for f in ALL if f != "mixtral"])
def test_parts_are_found_in_every_family(family: str) -> None:
    model = build(spec_of(family), 0).eval()
    batch = Loader(small_task().train["retain"], torch.device("cpu")).batch(slice(0, 4))
    ids = batch.input_ids % 60
    batch = replace(batch, input_ids=ids)
    with torch.no_grad():
        last = hidden_states(model, batch, 1)
        seen: list[torch.Tensor] = []
        block = architecture.blocks(model)[1]
        hook = block.register_forward_hook(
            lambda m, a, out: seen.append(out[0] if isinstance(out, tuple) else out)
        )
        logits = model(ids, use_cache=False).logits
        hook.remove()
        torch.testing.assert_close(architecture.final_norm(model)(seen[0]), last)
        torch.testing.assert_close(read_off(model, seen[0]), logits)
    output = architecture.mlp_output(block)
    assert architecture.neurons(output) == (128 if family in ("falcon", "bloom") else 64)
    first = build(spec_of(family), 0)
    architecture.keep_blocks(first, 1)
    assert first(ids).logits.shape == logits.shape and len(architecture.blocks(first)) == 1


@pytest.mark.parametrize("family", ["gpt_neox", "gpt2", "opt"])
def test_wider_mlps_can_be_cut_back(family: str) -> None:
    model = build(spec_of(family), 0).eval()
    ids = torch.arange(8)[None]
    wide = expanded(model, 5, 1, np.random.default_rng(0))
    output = architecture.mlp_output(architecture.blocks(wide)[0])
    assert architecture.neurons(output) == 69
    with torch.no_grad():
        assert not torch.equal(wide(ids).logits, model(ids).logits)
        output.weight.movedim(architecture.neuron_axis(output), 1)[:, 64:] = 0.0
        torch.testing.assert_close(wide(ids).logits, model(ids).logits)
        again = build(spec_of(family), 9).eval()
        ablated(wide, again)
        assert torch.equal(again(ids).logits, model(ids).logits)


def test_what_a_family_lacks_is_said_in_a_sentence() -> None:
    mixture = build(spec_of("mixtral"), 0)
    with pytest.raises(NotApplicable, match="no one MLP"):
        architecture.mlp_output(architecture.blocks(mixture)[0])
    fused = build(spec_of("phi3"), 0)
    with pytest.raises(NotApplicable, match="of their own"):
        architecture.mlp_inputs(architecture.blocks(fused)[0])


@pytest.mark.parametrize("what", ["layers", "width"])
def test_students_of_another_shape_follow_a_released_configuration(
    tmp_path: Path, what: Any
) -> None:
    for family in ("gpt_neox", "qwen2", "gpt2"):
        own = {"n_inner": 64} if family == "gpt2" else {}
        spec = released(str(checkpoint(tmp_path / f"{what}-{family}", family, **own)))
        model = scaled(spec, 2.0, what, 0).eval()
        assert model.config.num_hidden_layers == (4 if what == "layers" else 2)
        assert model.config.hidden_size == (32 if what == "layers" else 64)
        assert model(torch.arange(6)[None]).logits.shape == (1, 6, 60)
        save_model(tmp_path, "student", model)
        again = load_model(tmp_path, "student", spec).eval()
        assert torch.equal(again(torch.arange(6)[None]).logits, model(torch.arange(6)[None]).logits)


@pytest.mark.parametrize("family", FOUR)
def test_checkpointed_activations_change_no_gradient(family: str) -> None:
    def gradients(**more: Any) -> list[Any]:
        model = build({**spec_of(family), **more}, 0)
        model(torch.arange(10)[None], use_cache=False).logits.square().mean().backward()
        assert recomputes(model) == bool(more)
        return [w.grad for w in model.parameters()]

    plain, again = gradients(), gradients(gradient_checkpointing=True)
    for one, other in zip(plain, again, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("family", ["llama", "gpt_neox", "qwen2"])
def test_attention_is_computed_as_asked(family: str) -> None:
    fused, plain = (build({**spec_of(family), "attention": a}, 0) for a in ("sdpa", "eager"))
    assert plain.config._attn_implementation == "eager" != fused.config._attn_implementation
    ids = torch.arange(10)[None]
    torch.testing.assert_close(fused(ids).logits, plain(ids).logits)
    assert frozen_copy(plain).config._attn_implementation == "eager"


def test_a_form_of_attention_that_is_not_there_fails_in_one_sentence() -> None:
    with pytest.raises(RunFailed, match="cannot be made") as caught:
        build({**spec_of("llama"), "attention": "flash_attention_2"}, 0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["rmu", "needle", "s3t", "gradient_routing", "parameter_routing"])
def test_methods_that_look_into_an_mlp_are_planned_for_models_without_experts(name: str) -> None:
    stage = "suppress" if name in ("rmu", "needle") else "pretrain"
    source = {"name": "x", "recipes": [{stage: {"name": name}}], "attacks": [{"name": "relearn"}]}
    with pytest.raises(UserError, match=f"{name} works on models without experts only"):
        study.resolve({**source, "setting": {"name": "arithmetic", "family": "mixtral"}})
    assert study.resolve({**source, "setting": {"name": "arithmetic", "family": "gemma2"}}).runs


def test_matrices_that_are_stored_turned_round_go_through_everything(tmp_path: Path) -> None:
    own = {"intermediate_size": None, "n_inner": 64, "resid_pdrop": 0.0}
    task = task_on(checkpoint(tmp_path / "m", "gpt2", **own))
    methods: dict[str, dict[str, Any]] = {
        "rmu": {"steps": 1, "batch_size": 8},
        "needle": {},
        "undo": {"steps": 1, "retain_batch": 8, "forget_batch": 8},
        "s3t": {"steps": 1, "batch_size": 8, "slices": 2},
        "o3": {"steps": 1, "batch_size": 8, "rank": 2},
        "max_ent": {"steps": 1, "batch_size": 8, "adapter": {"name": "lora", "rank": 2}},
    }
    for name, asked in methods.items():
        run = context(tmp_path, task)
        model = run.fresh_model()
        before = {n: w.detach().clone() for n, w in model.named_parameters()}
        after = run_method(name, model, task, run, dict(asked))
        new = dict(after.named_parameters())
        assert any(n not in before or not torch.equal(w, before[n]) for n, w in new.items()), name
    for name, given in {"prune": {"share": 0.5}, "logit_lens": {}}.items():
        run = context(tmp_path, task, Kept(), "attack")
        load("attacks", name)(run.fresh_model(), task, run, **given)


def test_pruning_compares_the_inputs_of_an_output_however_a_matrix_is_stored() -> None:
    from backend.pruning import prune_by_activation

    model = build(spec_of("gpt2"), 0)
    name = "transformer.h.0.mlp.c_fc"
    weight = dict(model.named_parameters())[f"{name}.weight"]
    prune_by_activation(model, {f"{name}.weight": torch.ones(32)}, 0.25)
    assert weight.shape == (32, 64)
    assert ((weight == 0).sum(0) == 8).all()  # of the 32 inputs of every neuron
