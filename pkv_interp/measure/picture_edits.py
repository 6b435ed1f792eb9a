"""Edits of a field that stands beside a picture, and inside a moved chunk with one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from pkv_interp.editing import EditableContext, field, user
from pkv_interp.errors import PkvError
from pkv_interp.measure.picture_answers import option_tokens
from pkv_interp.measure.picture_splices import Bench, pads
from pkv_interp.models.load_vision import LoadedVision
from pkv_interp.pictures.items import FieldItem
from pkv_interp.pictures.prompts import FIELD

#: The field's tokens run again inside a chunk that was moved, and the whole of it prefilled.
MOVED, MOVED_FULL, MOVED_STALE = "field_only_moved", "full_moved", "stale_moved"


@dataclass(frozen=True)
class EditedAnswer:
    """What is answered after an edit.

    Attributes:
        margin: of the new value's answer before the old one's, in logits.
        new: the new value's answer is the likeliest token.
        old: the old value's is.
        share: tokens run, as a share of the context's.
    """

    margin: float
    new: bool
    old: bool
    share: float


@dataclass(frozen=True)
class FieldEdits:
    """One field item, edited in every way.

    Attributes:
        place: of the field, before or after the picture.
        family: place and values.
        instance: of the picture.
        arms: by method.
    """

    place: str
    family: str
    instance: str
    arms: dict[str, EditedAnswer]


def edit_field(
    loaded: LoadedVision, item: FieldItem, methods: Sequence[str], pixels: int, shift: int
) -> FieldEdits:
    """Edit a field with every method, and inside a chunk that was moved.

    Args:
        loaded: the model.
        item: the prompt with both values.
        methods: editing methods, ``stale`` and ``full_reprefill`` among them.
        pixels: to a side of the picture.
        shift: words before the moved chunk.
    """
    bench = Bench.of(loaded, item.before, pixels)
    tokenizer = loaded.tokenizer
    old, new = option_tokens(tokenizer, (item.before.answer, item.after.answer))

    def read(logits: Tensor, share: float) -> EditedAnswer:
        best = int(logits.argmax())
        return EditedAnswer(float(logits[new] - logits[old]), best == new, best == old, share)

    first, last = item.parts
    context = EditableContext(
        loaded.model,
        tokenizer,
        [user(pads(first, bench.counts), field(FIELD, item.old), pads(last, bench.counts))],
        question=item.question,
        cue="",
        pictures=getattr(bench.runner, "pictures", ()),
    )
    arms = {}
    for method in methods:
        state = context.edit(FIELD, item.new, method)
        arms[method] = read(state.logits(), state.cost.share)
    return FieldEdits(item.place, item.family, item.instance, arms | _moved(bench, item, shift, read))


def _moved(
    bench: Bench, item: FieldItem, shift: int, read: Callable[[Tensor, float], EditedAnswer]
) -> dict[str, EditedAnswer]:
    """The field's tokens run again in a chunk that was moved behind a preface."""
    after = replace(bench, item=item.after)
    parts, new = bench.parts(shift), after.parts(shift)
    if len(parts.body) != len(new.body):
        raise PkvError(
            f"'{item.old}' and '{item.new}' have another number of tokens, and nothing is moved",
            "use a tokenizer in which they have the same",
        )
    changed = [i for i, (a, b) in enumerate(zip(parts.body, new.body, strict=True)) if a != b]
    cache = bench.spliced(parts, bench.chunk(bench.parts(0).head))
    at = [len(parts.head) + i for i in changed]
    edited = bench.runner.recompute(cache, at, [new.body[i] for i in changed]).cache
    made: dict[str, EditedAnswer] = {}
    for name, one in ((MOVED_STALE, cache), (MOVED, edited)):
        share = len(at) / cache.length if name == MOVED else 0.0
        made[name] = read(bench.runner.extend(one, new.tail).logits, share)
    made[MOVED_FULL] = read(after.full(new), 1.0)
    return made
