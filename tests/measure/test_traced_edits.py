"""Traced decisions on edited states: sources, knockouts by plain hooks, writes that sum, one by one."""

from __future__ import annotations

from functools import cache as kept
from typing import Any

import pytest
import torch

from pkv_interp.editing import State
from pkv_interp.editing.decision import option_ids
from pkv_interp.engine import Engine
from pkv_interp.engine.sources import source_writes
from pkv_interp.errors import PkvError
from pkv_interp.interventions import Knockout
from pkv_interp.measure.edit_sources import SOURCES, columns_kept, edit_sources
from pkv_interp.measure.opened import open_state, prompt_of
from pkv_interp.measure.traced_edits import TracedDecision, trace_edit
from pkv_interp.reference.sequential import Sequential
from tests.editing.support import FIELD, NEW, OPTIONS, context_of
from tests.families import FAMILIES, tiny

HEADS = [(1, 2), (2, 0)]


@pytest.fixture(scope="module", params=FAMILIES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return Engine(tiny(request.param))


@kept
def states(name: str, *methods: str) -> dict[str, State]:
    base = context_of(tiny(name)).prefill()
    return {"before": base} | {m: base.edit(FIELD, NEW, m) for m in methods}


def of(engine: Engine, method: str) -> tuple[State, State]:
    found = states(engine.loaded.config.name.removeprefix("tiny-"), method)
    return found["before"], found[method]


def traced(engine: Engine, method: str) -> tuple[State, State, TracedDecision]:
    before, after = of(engine, method)
    kinds = ["filler"] * len(before.ids)
    return before, after, trace_edit(engine, before, after, FIELD, OPTIONS, HEADS, kinds)


def test_sources_tell_kept_columns_from_new_ones() -> None:
    engine = Engine(tiny("llama"))
    before, after = of(engine, "recompute@8")
    length = len(prompt_of(after))
    found = edit_sources(before, after, FIELD, length)
    assert tuple(found) == SOURCES
    assert sorted(p for positions in found.values() for p in positions) == list(range(length - 1))
    start, stop = before.spans[FIELD]
    n = len(before.ids)
    assert found["field"] == tuple(range(start, stop))
    assert found["new tokens"] == tuple(range(n - 8, n))  # without a ranking, the last ones
    assert found["old notes"] == tuple(range(stop, n - 8))
    assert found["sink"] + found["rest"] == tuple(range(start))
    assert found["question"] == tuple(range(n, length - 1))
    assert found["erratum"] == ()
    kept_columns = columns_kept(before.cache, after.cache)
    assert [p for p, same in enumerate(kept_columns) if not same] == [*range(start, stop), *range(n - 8, n)]
    before, after = of(engine, "erratum")
    found = edit_sources(before, after, FIELD, len(prompt_of(after)))
    assert found["erratum"] == tuple(range(n, len(after.ids)))
    assert found["old notes"] == tuple(range(stop, n))
    assert found["new tokens"] == ()


@pytest.mark.parametrize("method", ["field_only", "erratum", "recompute@8", "hoist", "cacheblend@0.3"])
def test_a_trace_is_the_apis_decision_and_its_knockouts_are_the_twins(engine: Engine, method: str) -> None:
    before, after, found = traced(engine, method)
    decided = after.decide(OPTIONS)
    assert found.margin == pytest.approx(decided.margin, abs=1e-4)
    assert found.api_difference < 1e-4
    base = open_state(engine, after)
    twin, ids = Sequential(engine.loaded), option_ids(after.context.renderer, after.suffix(), OPTIONS)
    sources = edit_sources(before, after, FIELD, base.length)
    for name, reading in found.sources.items():
        (logits,) = twin.decode(base, [(Knockout(sources[name]),)], (), ids).logits
        assert reading.without == pytest.approx(float(logits[0] - logits[1]), abs=1e-4), name
        assert reading.tokens == len(sources[name])
    assert max(abs(r.without - found.margin) for r in found.sources.values()) > 1e-3
    # What the sources weigh is all but the decision token's own weight.
    attn = open_state(engine, after, {"attention"}).need("attn")
    total = sum(float(attn[la, h, :-1].sum()) for la, h in HEADS) / len(HEADS)
    assert sum(r.attention for r in found.sources.values()) == pytest.approx(total, abs=1e-5)


def test_new_tokens_are_given_back_from_the_cache_before(engine: Engine) -> None:
    before, after, found = traced(engine, "recompute@8")
    assert [one.position for one in found.tokens] == list(range(len(before.ids) - 8, len(before.ids)))
    ids = option_ids(after.context.renderer, after.suffix(), OPTIONS)
    base, donor = open_state(engine, after), open_state(engine, before)

    def plain(positions: list[int]) -> float:
        mixed = base.cache.replace(positions, donor.cache)
        model: Any = engine.loaded.model
        with torch.no_grad():
            out = model(
                torch.tensor([base.ids[-1:]]),
                past_key_values=mixed.view(),
                position_ids=torch.tensor([[base.length - 1]]),
            )
        return float(out.logits[0, -1, ids[0]] - out.logits[0, -1, ids[1]])

    for one in (found.tokens[0], found.tokens[-1]):
        assert one.given_back == pytest.approx(plain([one.position]), abs=1e-4)
    whole = found.sources["new tokens"].given_back
    assert whole == pytest.approx(plain([one.position for one in found.tokens]), abs=1e-4)
    assert found.sources["old notes"].given_back is None
    _, _, told = traced(engine, "erratum")
    assert (told.tokens, told.sources["field"].given_back) == ([], None)


def test_what_sources_write_sums_to_the_heads(engine: Engine) -> None:
    """The own column's part is what attention to it times its value gives, from a plain forward's cache."""
    _, after = of(engine, "field_only")
    base = open_state(engine, after, {"attention"})
    first, second = option_ids(after.context.renderer, after.suffix(), OPTIONS)
    n = base.length - 1
    halves = [list(range(0, n, 2)), [], list(range(1, n, 2))]
    written = source_writes(engine.loaded, base, halves, (first, second))
    parts = engine.contributions(base)
    direct = engine.direct_logit(
        parts.heads.flatten(0, 1), base.resid[-1], [first, second], without_constant=True
    )
    whole = (direct[:, 0] - direct[:, 1]).view(written.shape[1:])
    torch.testing.assert_close(written.sum(0), whole, atol=1e-4, rtol=1e-4)
    assert not written[1].any()
    model: Any = engine.loaded.model
    grown = base.cache.view()
    with torch.no_grad():
        model(torch.tensor([base.ids[-1:]]), past_key_values=grown, position_ids=torch.tensor([[n]]))
    layers: list[Any] = grown.layers
    spec = engine.spec
    own = torch.stack(
        [
            base.need("attn")[la, :, n, None]
            * layers[la].values[0, :, -1].repeat_interleave(spec.n_heads // spec.n_kv_heads, 0)
            for la in range(spec.n_layers)
        ]
    )
    read = torch.stack(
        [
            torch.einsum(
                "ht,htd->hd",
                base.need("attn")[la, :, :-1],
                base.cache.values[la][0].repeat_interleave(spec.n_heads // spec.n_kv_heads, 0),
            )
            for la in range(spec.n_layers)
        ]
    )
    torch.testing.assert_close(read + own, base.z, atol=1e-5, rtol=1e-4)
    with pytest.raises(PkvError, match="a position is in two sources"):
        source_writes(engine.loaded, base, [[1, 2], [2]], (first, second))
    with pytest.raises(PkvError, match="attn, which was not captured"):
        source_writes(engine.loaded, open_state(engine, after), [[1]], (first, second))


def test_a_state_of_another_model_is_refused_unless_it_is_named() -> None:
    engine, other = Engine(tiny("llama")), tiny("llama", seed=1)
    state = context_of(other).prefill()
    with pytest.raises(PkvError, match="made by another model than the engine's"):
        open_state(engine, state)
    with pytest.raises(PkvError, match="written_by is not the state's model"):
        open_state(engine, state, written_by=engine.loaded.model)
    crossed = open_state(engine, state, written_by=other.model)
    assert float((crossed.logits - state.logits()).abs().max()) > 1e-2


@pytest.mark.parametrize("method", ["erratum", "recompute@8"])
def test_what_is_unseen_is_hidden_from_the_question_too(engine: Engine, method: str) -> None:
    """The twin runs the question's tokens over the edited cache, their scores closed by hooks."""
    before, after, found = traced(engine, method)
    base = open_state(engine, after)
    twin, ids = Sequential(engine.loaded), option_ids(after.context.renderer, after.suffix(), OPTIONS)
    sources = edit_sources(before, after, FIELD, base.length)
    later = range(len(after.ids), base.length)

    def hidden(positions: tuple[int, ...]) -> float:
        knocked = [Knockout(positions, queries=tuple(later))]
        with torch.no_grad():
            logits = twin._forward(base.ids, later, after.cache.view(), (), (), knocked)
        return float(logits[ids[0]] - logits[ids[1]])

    new = "erratum" if method == "erratum" else "new tokens"
    for name in ("field", "old notes", new):
        assert found.sources[name].unseen == pytest.approx(hidden(sources[name]), abs=1e-4), name
    together = "old notes and field"
    both = hidden(sources["old notes"] + sources["field"])
    assert found.together_unseen[together] == pytest.approx(both, abs=1e-4)
    assert abs(found.together_unseen[together] - found.together[together]) > 1e-4
    assert {name for name, one in found.sources.items() if one.unseen is None} == {"sink", "rest", "question"}
