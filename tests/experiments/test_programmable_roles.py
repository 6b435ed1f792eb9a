"""What is measured of each model of the experiment on programmable caches, and of which model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from experiments.programmable import measure, weights
from experiments.programmable.cases import build_cases
from experiments.programmable.edits import long_margins
from experiments.programmable.settings import ProgrammableSettings
from experiments.programmable.weights import Replies, Weights
from pkv_interp.measure.edit_scenes import SceneSource
from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.tolerances import tolerance_of
from pkv_interp.training.chat import Chat
from tests import runs
from tests.experiments.configs import compose
from tests.families import tiny


def small(**changes: object) -> ProgrammableSettings:
    made = compose("programmable", *runs.PROGRAMMABLE)
    assert isinstance(made, ProgrammableSettings)
    return made.model_copy(update=changes)


def test_directions_are_even_and_ranking_prompts_are_not_scored() -> None:
    asked = small(instances=2, held_out=("documents", "alerts", "posts", "claims"))
    cases = build_cases(asked, tiny("llama").tokenizer)
    for place in ("early", "late"):
        mine = cases.of_place(place)
        assert sum(one.task.matches for one in mine) == len(mine) / 2 == 4
        by_family = {
            name: {one.task.matches for one in mine if one.family == name} for name in asked.families
        }
        assert set(map(len, by_family.values())) == {2}
    ranked = {case.instance for pairs in cases.attended.values() for case in pairs}
    assert not ranked & {case.instance for case in cases.pairs}
    assert not ranked & {one.task.instance.rsplit("-", 1)[0] for one in [*cases.short, *cases.long]}


def test_a_long_prompt_has_no_error_of_an_edit_that_nothing_measured():
    loaded = tiny("llama")
    source = SceneSource.of(small(), loaded.tokenizer)
    found = long_margins(loaded, source.scenes(source.style(3, late=False), 1)[0], 0)
    assert "full_isolated" not in found.margins
    assert found.apart is None


@pytest.mark.parametrize(
    ("model", "chats", "answers"),
    [("smollm2-135m-gate", 2, ["bare"]), ("tiny-llama", 2, ["own"]), ("smollm2-135m-gate", 0, [])],
)
def test_chats_are_answered_without_the_adapter_where_there_is_no_base_role(
    model: str, chats: int, answers: list[str], monkeypatch: pytest.MonkeyPatch
):
    def engine(name: str) -> Any:
        return SimpleNamespace(loaded=SimpleNamespace(model=name, tokenizer=None))

    asked: list[str] = []

    def sample(model: str, _: Any, messages: list[str], **__: Any) -> list[Chat]:
        asked.append(model)
        return [Chat(one, "reply") for one in messages]

    monkeypatch.setattr(weights, "load_adapted", lambda _, adapter: "bare" if adapter is None else "trained")
    monkeypatch.setattr(weights, "Engine", lambda loaded, _: engine(loaded))
    monkeypatch.setattr(weights.chat, "sample_replies", sample)
    settings = small(base=False, chats=chats, model=load_catalogue_entry(model))
    session: Any = SimpleNamespace(settings=settings, engine=engine("own"))
    made = Weights(session)
    assert "base" not in made.roles
    assert len(made.replies().chats) == chats
    assert asked == answers


@pytest.mark.parametrize("role", ["base", "gate", "programmable", "reader", "control"])
def test_link_tokens_stand_in_the_prompts_of_the_adapter_that_was_trained_with_them_alone(
    role: str, monkeypatch: pytest.MonkeyPatch
):
    seen: list[int] = []
    for name in ("edit_margins", "long_margins", "splice_margins", "drift"):
        monkeypatch.setattr(measure, name, lambda _, __, links, *___: seen.append(links))
    for name in ("parts_of", "heads_of", "measure_inside"):
        monkeypatch.setattr(measure, name, lambda *_: None)

    def each(_: str, cases: list[Any], work: Any, __: type) -> Any:
        return SimpleNamespace(of=lambda asked: [work(one) for one in asked if one in cases])

    settings = small(links=3)
    cases = build_cases(settings, tiny("llama").tokenizer)
    session: Any = SimpleNamespace(settings=settings, each=each)
    models: Any = SimpleNamespace(loaded=lambda _: None, engine=lambda _: None)
    measure._role(session, models, role, cases, Replies([]), None)
    assert set(seen) == {3 if role == "programmable" else 0}
    assert len(seen) == 2 * len(cases.short) + 2 + (0 if role == "base" else len(cases.long))


def failed(edit: float, splice: float, join: float = 1e-6) -> set[str]:
    """Controls that an error of an edit, of a splice and of several do not pass, in logits."""
    told: set[str] = set()

    def control(name: str, value: float, expected: float, tolerance: float, _: str) -> None:
        if abs(value - expected) > tolerance:
            told.add(name)

    session: Any = SimpleNamespace(control=control, tolerance=tolerance_of("float32").for_logits_of(4.0))
    role: Any = SimpleNamespace(
        edits=[SimpleNamespace(apart=1e-6), SimpleNamespace(apart=edit), SimpleNamespace(apart=None)],
        splices=[SimpleNamespace(apart=splice), SimpleNamespace(apart=1e-6)],
    )
    joins: Any = SimpleNamespace(counts=[SimpleNamespace(apart=1e-6), SimpleNamespace(apart=join)])
    measure._control(session, {"gate": role}, [joins])
    return told


def test_one_edit_or_splice_that_is_no_prefill_stops_the_run():
    assert failed(1e-5, 1e-5) == set()
    assert "isolated_edit_equals_prefill" in failed(0.1, 1e-5)
    assert "blind_splice_equals_prefill" in failed(1e-5, 0.1)
    assert "blind_splice_equals_prefill" in failed(1e-5, 1e-5, 0.1)
