"""Controls judged against rounding: prompts that are nearly one (T23), and ties of routers (T21)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen3Config

from experiments.agent.arms import run_arms
from experiments.agent.summary import controls
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.routing import closest_choice, routers
from pkv_interp.engine import Engine
from pkv_interp.measure.controls import check_cases, measure_controls
from pkv_interp.measure.pairs import cache_states, run_pair
from pkv_interp.measure.ranking import pool_by_name, pooled_effect, rank_heads, rank_labels
from pkv_interp.models.load import LoadedModel
from pkv_interp.models.spec import spec_of
from pkv_interp.run.scoring import Scorer
from pkv_interp.run.session import Session
from pkv_interp.tasks import BY_NAME, Case, Style, field_case
from pkv_interp.tolerances import tolerance_of
from tests import runs
from tests.agent import support
from tests.experiments.configs import compose
from tests.families import tiny
from tests.hostile import sabotage

HALF = tolerance_of("bfloat16")
#: Experts 1 and 2 are this far apart wherever they are the second and the third.
TIE = 3e-7


@cache
def indifferent() -> LoadedModel:
    """A model of random weights as Qwen3 draws them, in bfloat16: all prompts are nearly one to it."""
    like = tiny("qwen3")
    heads: dict[str, Any] = {"num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 32}
    config = Qwen3Config(
        vocab_size=like.spec.vocab_size, hidden_size=256, intermediate_size=512, num_hidden_layers=8, **heads
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model = model.to(torch.bfloat16).eval().requires_grad_(False)
    info = like.info.model_copy(update={"dtype": "bfloat16"})
    return replace(like, model=model, spec=spec_of(model), info=info)


def cases(loaded: LoadedModel) -> list[Case]:
    names = ("orders", "support", "documents", "alerts")
    return [
        field_case(BY_NAME[name], 0, loaded.tokenizer, seed=0, style=Style(n_fillers=1)) for name in names
    ]


def test_rounding_alone_fails_no_control() -> None:
    """T23: the recovery of a self-patch was 0.36 of a gap of 0.07, and the engine was blamed for it."""
    loaded = indifferent()
    found = check_cases(Engine(loaded), cases(loaded), HALF.routers)
    assert found.self_patch == pytest.approx(0.0, abs=HALF.recovery)
    assert found.full_patch == pytest.approx(1.0, abs=HALF.recovery)
    allowed = HALF.for_logits_of(found.size).logits
    assert allowed < 0.1
    assert found.decode_equals_prefill <= allowed
    assert found.batched_equals_single <= allowed
    assert found.packed_equals_sequential <= allowed
    # What was judged before: the margin of two tokens, on a gap that rounding is a large part of.
    pair = run_pair(Engine(loaded), cases(loaded)[0], share=False)
    assert abs(pair.gap) < 0.5
    assert abs(cache_states(Engine(loaded), pair)["full_patch"] - pair.clean_margin) <= allowed


def test_a_wrong_engine_fails_in_the_same_model_and_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    """T23: a wider tolerance would let this through."""
    loaded = indifferent()
    sabotage.wrong_donor(monkeypatch)
    found = check_cases(Engine(loaded), cases(loaded)[:2], HALF.routers)
    assert found.self_patch is not None
    assert found.full_patch is not None
    assert found.self_patch > 0.9
    assert found.full_patch < 0.1


def test_prompts_that_rounding_makes_one_are_told_and_not_judged() -> None:
    """T23: where clean and corrupt do not differ at all, no recovery exists, and none is made up."""
    loaded = tiny("llama")
    same = cases(loaded)[0]
    pair = run_pair(Engine(loaded), replace(same, corrupt=same.clean), share=False)
    found = measure_controls(Engine(loaded), [pair])
    assert found.self_patch is None
    assert found.full_patch is None
    run = FakeRun()
    session(loaded, run).check_engine([replace(same, corrupt=same.clean)])
    assert {name for name, *_ in run.noted} == {
        "decode_equals_prefill",
        "batched_equals_single",
        "packed_equals_sequential",
    }
    assert "no recovery was checked" in run.remarks[0]


@dataclass
class FakeRun:
    """A run that remembers what it was told."""

    noted: list[Any] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def note(self, *arguments: Any) -> None:
        self.noted.append(arguments)

    def check_controls(self) -> None:
        """Whether they passed is read from ``noted``."""

    @property
    def stages(self) -> Any:
        return SimpleNamespace(once=lambda _n, compute, *_: SimpleNamespace(value=compute(), seconds=0.0))


def session(loaded: LoadedModel, run: Any) -> Session[Any]:
    settings: Any = SimpleNamespace(
        verify="none", memory_budget_mb=None, remote=False, prefill_dtype="float32"
    )
    made: Any = Session(settings, run)
    made.__dict__["loaded"] = loaded
    return made


def test_a_model_with_no_gap_at_all_is_ranked_and_scored() -> None:
    """T23: half precision leaves gaps that sum to exactly nothing; dividing by them must not end a run."""
    clean, corrupt = np.array([1.0, 2.0]), np.array([2.0, 1.0])
    patched = np.array([[[0.5, 3.0]], [[1.5, 2.0]]])
    effect = pooled_effect(patched, corrupt, clean)
    assert rank_heads(effect) == [(0, 1), (0, 0)]
    ranked = rank_labels([("a", "b")] * 2, [np.array([0.1, 0.4])] * 2, list(clean - corrupt))
    assert [name for name, _ in ranked] == ["b", "a"]
    assert pool_by_name([("a",)] * 2, [np.array([0.5])] * 2, [1.0, -1.0]) == {"a": 1.0}
    known = cases(tiny("llama"))[:2]
    scorer = Scorer(known, clean, corrupt, 5.0, {"seed": 0, "draws": 100})
    assert scorer.arm("any", np.array([2.5, 1.5])).value == pytest.approx(0.1)  # half a logit in floors of 5
    assert [row.extra["near_tie"] for row in scorer.rows] == [True, True]
    assert [row.clean for row in scorer.rows] == [1.0, 2.0]


@cache
def tied() -> LoadedModel:
    """A mixture of experts, two of four running, whose experts 1 and 2 are a tie to its router."""
    loaded = tiny("gpt-oss")
    model: Any = copy.deepcopy(loaded.model)
    with torch.no_grad():
        for router in routers(model):
            weight, bias = router.get_parameter("weight"), router.get_parameter("bias")
            weight[2] = weight[1]
            weight[0], weight[3] = 0.0, 0.0
            bias.copy_(torch.tensor([50.0, 0.0, TIE, -50.0]))
    return replace(loaded, model=model)


def test_the_closest_choice_is_that_of_the_last_expert_that_runs() -> None:
    loaded = tiny("gpt-oss")
    ids = cases(loaded)[0].clean.ids
    with closest_choice(loaded.model) as seen:
        logits = Runner.of(loaded.model).prefill(ids).logits
    gaps = []
    model: Any = loaded.model
    with torch.no_grad():
        out = model(input_ids=torch.tensor([ids]), output_router_logits=True)
    for layer in out.router_logits:
        best = layer.sort(-1, descending=True).values
        gaps.append(float((best[:, 1] - best[:, 2]).min()))
    assert seen.gap == pytest.approx(min(gaps), abs=1e-5)
    assert torch.equal(logits, Runner.of(loaded.model).prefill(ids).logits)
    with closest_choice(tied().model) as close:
        Runner.of(tied().model).prefill(ids)
    assert close.gap <= tolerance_of("float32").routers
    with closest_choice(tiny("llama").model) as dense:
        Runner.of(tiny("llama").model).prefill(ids)
    assert dense.gap == float("inf")


def test_cases_with_a_tie_are_left_out_of_the_engine_checks_and_told() -> None:
    """T21: a tie of 3e-7 in a router was blamed on the engine."""
    sound, every = tiny("gpt-oss"), cases(tiny("gpt-oss"))[:2]
    gaps = []
    for case in every:
        with closest_choice(sound.model) as seen:
            run_pair(Engine(sound), case, share=False)
        gaps.append(seen.gap)
    between = (min(gaps) + max(gaps)) / 2
    found = check_cases(Engine(sound), every, between)
    assert (found.tied, found.untied) == (1, 1)
    assert found.full_patch == pytest.approx(1.0, abs=1e-3)
    run = FakeRun()
    session(tied(), run).check_engine(every)
    assert "no case for the engine's checks is without a tie" in run.remarks[0]


def test_a_check_that_a_tie_fails_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """T21: with a tie everywhere the engine is neither cleared nor blamed; without one it is blamed."""
    sabotage.wrong_donor(monkeypatch)
    run, every = FakeRun(), cases(tied())[:1]
    session(tied(), run).check_engine(every)
    assert "not judged: packed_equals_sequential, self_patch, full_patch" in run.remarks[0]
    assert "self_patch" not in {name for name, *_ in run.noted}
    run = FakeRun()
    session(tiny("gpt-oss"), run).check_engine(every)
    wrong = {name for name, value, expected, allowed, _ in run.noted if abs(value - expected) > allowed}
    assert {"self_patch", "full_patch"} <= wrong


@pytest.mark.parametrize(("loaded", "judged"), [(tied, False), (lambda: tiny("gpt-oss"), True)])
def test_turns_with_a_tie_are_left_out_of_the_agents_controls(loaded: Any, judged: bool) -> None:
    """T21: the agent's control failed on a tie, and the line that users saw blamed the engine."""
    model: LoadedModel = loaded()
    settings: Any = compose("agent", *runs.AGENT)
    episode = support.one(tokenizer=model.tokenizer)
    arms: Any = run_arms(
        Runner.of(model.model),
        model.tokenizer,
        episode,
        Style(n_fillers=2),
        settings,
        1e-5,
    )
    assert arms.checks.tied == (0 if judged else len(episode.turns))
    scoring: Any = SimpleNamespace(head=SimpleNamespace(model={"dtype": "float32"}))
    names = {control.name for control in controls([arms.checks], scoring)}
    assert ("stale_equals_full" in names) == ("splice_in_place" in names) == judged
    assert {"stale_refused", "current_accepted"} <= names
