"""What every editing method promises. A method is tested here by being registered."""

from __future__ import annotations

import pytest
import torch

from pkv_interp.editing import METHODS, State
from pkv_interp.editing.registry import Method, find
from pkv_interp.errors import PkvError
from tests.editing.support import FIELD, LONG, NEW, OLD, OPTIONS, context_of, copy_of, windowed

FAMILIES = ("llama", "gemma2", "gpt-oss")


def written(method: Method) -> str:
    """The method as a user would write it, with an amount where it needs one."""
    if not method.required:
        return method.name
    return f"{method.name}@{'0.25' if method.amount == 'share' else '4'}"


def options(method: Method) -> dict[str, tuple[str, str]]:
    """What must be told beside the value: ``auto`` asks what is to be decided."""
    return {"options": OPTIONS} if "options" in method.options else {}


def edited(base: State, method: Method, value: str = NEW) -> State:
    return base.edit(FIELD, value, written(method), **options(method))


@pytest.fixture(scope="module", params=FAMILIES)
def base(request: pytest.FixtureRequest) -> State:
    """A prefilled prompt whose field holds the old value."""
    return context_of(windowed(request.param)).prefill()


def says(state: State, base: State, value: str) -> bool:
    """Whether the state gives the value; one that does not must have left everything as it was."""
    if state.fields[FIELD] == value:
        return True
    assert state.layout == base.layout
    assert torch.equal(copy_of(state.cache), copy_of(base.cache))
    assert state.cost.tokens == 0
    return False


@pytest.fixture(params=sorted(METHODS))
def method(request: pytest.FixtureRequest) -> Method:
    """Each registered method in turn."""
    return METHODS[request.param]


def test_the_state_handed_in_is_never_changed(base: State, method: Method) -> None:
    before, ids, fields = copy_of(base.cache), base.ids, dict(base.fields)
    edited(base, method)
    assert torch.equal(copy_of(base.cache), before)
    assert base.ids == ids
    assert base.fields == fields


def test_the_new_state_has_the_value_and_a_column_for_each_token(base: State, method: Method) -> None:
    state = edited(base, method)
    says(state, base, NEW)
    assert state.cache.length == len(state.ids)
    assert torch.isfinite(copy_of(state.cache)).all()
    assert torch.isfinite(state.logits()).all()


def test_the_text_gives_the_value_where_the_method_says(base: State, method: Method) -> None:
    state = edited(base, method)
    if not says(state, base, NEW):
        return
    place = base.text.index(f"{FIELD}: {OLD}")
    in_place = state.text[place:].startswith(f"{FIELD}: {NEW}")
    at_the_end = NEW in state.text[base.text.rindex("\n", 0, len(base.text) - 1) :]
    if method.placement == "in place":
        assert in_place
    elif method.placement == "at the end":
        assert at_the_end


def test_the_cost_is_what_was_done(base: State, method: Method) -> None:
    cost = edited(base, method).cost
    assert cost.tokens >= 0
    assert cost.share >= 0.0
    assert cost.milliseconds >= 0.0


def test_it_decides_between_the_options(base: State, method: Method) -> None:
    decision = edited(base, method).decide(OPTIONS)
    assert decision.choice in OPTIONS
    assert (decision.margin > 0) == (decision.choice == OPTIONS[0]) or decision.margin == 0.0


def test_edits_chain_and_branch(base: State, method: Method) -> None:
    there = edited(base, method)
    back = edited(there, method, OLD)
    assert says(back, there, OLD)
    again = edited(base, method)
    assert torch.allclose(copy_of(again.cache), copy_of(there.cache), atol=1e-6)


def test_a_full_re_prefill_makes_good_whatever_came_before(base: State, method: Method) -> None:
    state = edited(base, method)
    renewed = state.edit(FIELD, NEW, "full_reprefill")
    assert renewed.fields[FIELD] == NEW
    whole = base.context.runner.prefill(renewed.ids).cache
    assert float((copy_of(renewed.cache) - copy_of(whole)).abs().max()) < 1e-4


def test_a_longer_value_is_served_or_refused_with_the_way_out(base: State, method: Method) -> None:
    if method.any_length:
        state = edited(base, method, LONG)
        says(state, base, LONG)
        assert state.cache.length == len(state.ids)
    else:
        with pytest.raises(PkvError, match="tokens"):
            edited(base, method, LONG)


def test_what_it_does_not_take_is_refused(method: Method) -> None:
    with pytest.raises(PkvError, match=f"{method.name} does not take 'nonsense'"):
        find(written(method), {"nonsense": 1})
    if method.amount == "none":
        with pytest.raises(PkvError, match="takes none"):
            find(f"{method.name}@4", {})
    if method.required:
        with pytest.raises(PkvError, match="needs a"):
            find(method.name, {})


def test_it_is_described(method: Method) -> None:
    assert method.summary.endswith(".")
    assert 10 < len(method.summary) <= 110
