"""The run's own check against TransformerLens: it agrees with a right engine and shows a wrong one."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch

from pkv_interp.engine import Decoded, Engine, Prefill
from pkv_interp.interventions import Row
from pkv_interp.models.load import LoadedModel
from pkv_interp.reference import bridge
from pkv_interp.reference.verify import checked_by_default, verify_with_bridge
from pkv_interp.tasks import BY_NAME, Case, Style, polarity_case
from tests.engine.support import model_of
from tests.families import FAMILIES

#: What a run allows in float32.
ALLOWED = 1e-3


@cache
def case_of(family: str) -> Case:
    tokenizer = model_of(family).tokenizer
    return polarity_case(BY_NAME["orders"], 3, tokenizer, seed=0, style=Style(n_fillers=0))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_engine_agrees_with_the_bridge_on_prompts_and_on_a_patch(family: str) -> None:
    found = verify_with_bridge(Engine(model_of(family)), case_of(family))
    assert found.skipped is None
    assert found.worst is not None
    assert found.worst < 1e-4
    assert found.effect is not None
    # The patch moves the margin by much more than is allowed, so that leaving it out would be seen.
    # Mistral's windows of 16 keep the change from the notes that the decision sees.
    assert found.effect == 0.0 if family == "mistral" else found.effect > 10 * ALLOWED


class Wrong(Engine):
    """An engine with one mistake."""

    mistake = ""

    def prefill(self, ids: Sequence[int], capture: Any = frozenset(), *known: Any, **kept: Any) -> Prefill:
        made = super().prefill(ids, capture, *known, **kept)
        return replace(made, logits=made.logits + 0.01) if self.mistake == "logits" else made

    def decode(
        self, base: Prefill, rows: Sequence[Row], donors: Sequence[Prefill] = (), token_ids: Any = None
    ) -> Decoded:
        if self.mistake == "patch left out":
            rows = [()] * len(rows)
        if self.mistake == "one note left out":
            rows = [tuple(replace(edit, positions=edit.positions[1:]) for edit in row) for row in rows]  # type: ignore
        if self.mistake == "values only":
            rows = [tuple(replace(edit, part="V") for edit in row) for row in rows]  # type: ignore
        return super().decode(base, rows, donors, token_ids)


@pytest.mark.parametrize("mistake", ["logits", "patch left out", "one note left out", "values only"])
def test_a_wrong_engine_is_seen(mistake: str) -> None:
    engine = Wrong(model_of("llama"))
    engine.mistake = mistake
    found = verify_with_bridge(engine, case_of("llama"))
    assert found.worst is not None
    assert found.worst > ALLOWED
    assert (found.patched == found.worst) == (mistake != "logits")


def test_a_model_whose_weights_differ_from_the_engines_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bridge copies the weights when it is called: an engine that goes on with older logits disagrees."""
    engine = Engine(model_of("llama"))
    case = case_of("llama")
    kept = {ids: engine.prefill(ids) for ids in (case.clean.ids, case.corrupt.ids)}
    monkeypatch.setattr(engine, "prefill", lambda ids: kept[tuple(ids)])
    weight: Any = engine.loaded.model.get_parameter("model.layers.1.mlp.down_proj.weight")
    with torch.no_grad():
        before = weight.clone()
        weight.mul_(1.1)
        try:
            found = verify_with_bridge(engine, case)
        finally:
            weight.copy_(before)
    assert found.logits is not None
    assert found.logits > ALLOWED


def test_the_copy_is_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    copies = []
    build = bridge.build_bridge

    def watched(loaded: LoadedModel) -> Any:
        made = build(loaded)
        copies.append(weakref.ref(made))
        return made

    monkeypatch.setattr(bridge, "build_bridge", watched)
    gc.collect()
    gc.disable()  # only the check's own collection counts
    try:
        assert verify_with_bridge(Engine(model_of("llama")), case_of("llama")).skipped is None
        assert len(copies) == 1
        assert copies[0]() is None
    finally:
        gc.enable()


def test_why_it_was_skipped_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = model_of("llama")

    class Unheard(type(loaded.model)):  # type: ignore
        """A class that TransformerLens has no adapter for."""

    plain = loaded.model.__class__
    loaded.model.__class__ = Unheard
    try:
        found = verify_with_bridge(Engine(loaded), case_of("llama"))
    finally:
        loaded.model.__class__ = plain
    assert found.skipped is not None
    assert found.skipped.startswith("TransformerLens cannot load Unheard (")
    assert "\n" not in found.skipped
    assert found.worst is None
    quantised = replace(loaded, info=loaded.info.model_copy(update={"quantised_in_memory": True}))
    again = verify_with_bridge(Engine(quantised), case_of("llama"))
    assert again.skipped == "the bridge cannot copy quantised weights"
    monkeypatch.setattr("pkv_interp.reference.verify._hook_names", lambda n: [f"blocks.{n}.attn.hook_k"])
    assert verify_with_bridge(Engine(loaded), case_of("llama")).skipped == (
        f"TransformerLens has no blocks.{loaded.spec.n_layers}.attn.hook_k for LlamaForCausalLM"
    )


def test_small_models_are_checked_by_default() -> None:
    loaded = model_of("llama")
    large = replace(loaded, info=loaded.info.model_copy(update={"n_parameters": 8_000_000_000}))
    assert (checked_by_default(loaded), checked_by_default(large)) == (True, False)


@pytest.mark.slow
def test_the_real_model_agrees_with_the_bridge(real_model: LoadedModel) -> None:
    case = polarity_case(BY_NAME["orders"], 0, real_model.tokenizer, seed=0)
    found = verify_with_bridge(Engine(real_model), case)
    assert found.worst is not None
    assert found.worst < ALLOWED
