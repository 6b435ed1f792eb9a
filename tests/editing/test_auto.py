"""The per-edit diagnostic: what it compares, what it picks and what asking cost."""

import pytest
import torch

from pkv_interp.editing import State
from tests.editing.support import FIELD, LONG, NEW, OLD, OPTIONS, QUESTION, context_of, copy_of
from tests.families import tiny


@pytest.fixture(scope="module")
def bases() -> list[State]:
    return [context_of(tiny("llama", seed=seed)).prefill() for seed in range(6)]


def test_it_keeps_the_field_alone_where_both_decide_alike(bases: list[State]) -> None:
    seen = set()
    for base in bases:
        edited = base.edit(FIELD, NEW, options=OPTIONS)
        alone, noted = base.edit(FIELD, NEW, "field_only"), base.edit(FIELD, NEW, "field_erratum")
        a, b = alone.decide(OPTIONS), noted.decide(OPTIONS)
        found = edited.diagnostic
        assert found is not None
        assert found.enough == (a.choice == b.choice)
        assert (found.cheap_choice, found.reference_choice) == (a.choice, b.choice)
        assert found.cheap_margin == pytest.approx(a.margin, abs=1e-5)
        assert found.reference_margin == pytest.approx(b.margin, abs=1e-5)
        expected = alone if found.enough else noted
        assert found.used == ("field_only" if found.enough else "field_erratum")
        assert torch.equal(copy_of(edited.cache), copy_of(expected.cache))
        assert edited.text == expected.text
        suffix = len(base.context.renderer.after(base.suffix()))
        assert edited.cost.tokens == noted.cost.tokens + 2 * suffix
        assert found.cost.tokens == edited.cost.tokens - expected.cost.tokens
        assert 0 < found.cost.milliseconds < edited.cost.milliseconds
        seen.add(found.enough)
    assert seen == {True, False}


def test_without_options_the_next_token_is_compared(bases: list[State]) -> None:
    for base in bases:
        found = base.edit(FIELD, NEW).diagnostic
        assert found is not None
        a, b = base.edit(FIELD, NEW, "field_only").logits(), base.edit(FIELD, NEW, "field_erratum").logits()
        assert found.enough == (int(a.argmax()) == int(b.argmax()))
        assert found.reference_margin > 0
        assert (found.cheap_margin > 0) == found.enough


def test_where_the_length_changes_it_appends_an_erratum(bases: list[State]) -> None:
    base = bases[0]
    edited = base.edit(FIELD, LONG, options=OPTIONS)
    noted = base.edit(FIELD, LONG, "erratum")
    found = edited.diagnostic
    assert found is not None
    assert (found.cheap, found.reference, found.used) == ("stale", "erratum", "erratum")
    assert found.cheap_choice == base.decide(OPTIONS).choice
    assert torch.equal(copy_of(edited.cache), copy_of(noted.cache))


def test_after_an_erratum_it_does_not_leave_an_older_one_standing(bases: list[State]) -> None:
    noted = bases[0].edit(FIELD, NEW, "erratum")
    back = noted.edit(FIELD, OLD, options=OPTIONS)
    assert back.diagnostic is not None
    assert back.diagnostic.used == "erratum"
    assert back.text.startswith(noted.text)


def test_another_fallback_can_be_named(bases: list[State]) -> None:
    base = next(
        b
        for b in bases
        if not b.edit(FIELD, NEW, options=OPTIONS).diagnostic.enough  # pyright: ignore[reportOptionalMemberAccess]
    )
    edited = base.edit(FIELD, NEW, options=OPTIONS, fallback="suffix_recompute")
    exact = base.edit(FIELD, NEW, "suffix_recompute")
    found = edited.diagnostic
    assert found is not None
    assert found.used == "suffix_recompute"
    assert torch.equal(copy_of(edited.cache), copy_of(exact.cache))
    assert edited.cost.tokens == found.cost.tokens + exact.cost.tokens
    assert QUESTION in edited.suffix()
