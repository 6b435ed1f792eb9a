"""Fields in text before, between and after pictures, edited with every method."""

from __future__ import annotations

import pytest
import torch

from pkv_interp.cache.picture_runner import with_pictures
from pkv_interp.editing import METHODS, EditableContext, field, user
from pkv_interp.editing.state import State
from pkv_interp.pictures.words import IMAGE, VISION_END, VISION_START, picture_tokenizer
from tests.cache.picture_models import MODELS, close, model_of, pictures_of, seen_by

_AMOUNTS = {"count": "@2", "share": "@0.5", "none": ""}
_PLACES = ("before", "between", "after")
each_place = pytest.mark.parametrize("place", _PLACES)
each_model = pytest.mark.parametrize("name", MODELS)


def _context(name: str, place: str) -> EditableContext:
    first, second = (
        f" {VISION_START} {' '.join([IMAGE] * count)} {VISION_END} " for count in seen_by(name).counts
    )
    parts = ["the report is filed .", first, "please read the note .", second, "keep this page ."]
    at = {"before": 1, "between": 3, "after": 5}[place]
    field_at = ["mode is ", field("mode", "colour"), " . the door is closed . "]
    return EditableContext(
        model_of(name),
        picture_tokenizer(),
        [user(*parts[:at], *field_at, *parts[at:])],
        question="what is it by the mode ?",
        cue="",
        chat=False,
        pictures=pictures_of(name),
    )


def _full(context: EditableContext, state: State) -> torch.Tensor:
    """What the state's text, prefilled, says after the question."""
    after = context.renderer.after(state.suffix())
    return context.runner.prefill([*state.ids, *after]).logits


@each_model
@each_place
@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_edits_beside_pictures(name: str, place: str, method: str) -> None:
    context = _context(name, place)
    base = context.prefill()
    kept = [key.clone() for key in base.cache.keys]
    written = method + (_AMOUNTS[METHODS[method].amount] if METHODS[method].required else "")
    state = base.edit("mode", "shape", written)
    assert state.cache.length == len(state.ids)
    assert state.cache.pictured is not None
    # Wherever the method leaves columns, they stand where a prefill of its text would put them.
    whole = context.runner.prefill(state.ids).cache
    assert whole.pictured is not None
    assert torch.equal(state.cache.pictured.places, whole.pictured.places)
    if state.exact:
        close(state.cache, whole)
        torch.testing.assert_close(state.logits(), _full(context, state), atol=5e-4, rtol=0)
    assert all(torch.equal(a, b) for a, b in zip(base.cache.keys, kept, strict=True))


@each_model
@each_place
def test_what_is_exact_is_a_prefill(name: str, place: str) -> None:
    context = _context(name, place)
    full = context.edit("mode", "shape", "full_reprefill")
    assert full.exact
    for method in ("suffix_recompute", "recompute@all", "cacheblend@1.0", "oracle_patch@all"):
        state = context.edit("mode", "shape", method)
        close(state.cache, full.cache)
        torch.testing.assert_close(state.logits(), full.logits(), atol=5e-4, rtol=0)
    longer = context.edit("mode", "the second picture", "suffix_recompute")
    close(longer.cache, context.runner.prefill(longer.ids).cache)
    stale = context.edit("mode", "shape", "stale")
    assert float((stale.logits() - full.logits()).abs().max()) > 1e-3


@each_model
@each_place
def test_the_middle_is_moved_where_a_value_is_longer(name: str, place: str) -> None:
    context = _context(name, place)
    state = context.edit("mode", "the second picture", "suffix_recompute@3")
    moved, old = state.spans["mode"], context.prefill().spans["mode"]
    assert moved[1] - moved[0] == 3
    # The field's columns are those of a prefill; the middle has its old values, at new places.
    whole = context.runner.prefill(state.ids).cache
    close(state.cache.slice(0, moved[1]), whole.slice(0, moved[1]))
    middle, before = moved[1] + 2, old[1] + 2
    assert torch.equal(state.cache.values[1][:, :, middle], context.prefill().cache.values[1][:, :, before])


@each_model
def test_the_text_that_a_model_writes_goes_on_after_pictures(name: str) -> None:
    context = _context(name, "between")
    written = context.prefill().generate(3).ids
    ids = [*context.prefill().ids, *context.renderer.after(context.prefill().suffix())]
    runner = with_pictures(context.runner, pictures_of(name))
    for token in written:
        assert int(runner.prefill(ids).logits.argmax()) == token
        ids.append(token)
