"""Errata: wordings, placement, repeats, several fields, a false one, and a stale conclusion in the way."""

from typing import TYPE_CHECKING

from experiments._editing_cases import Chunk, Item, erratum, open_context, scored
from pkv_interp.editing import State
from pkv_interp.models.load import LoadedModel
from pkv_interp.prompts.errata import UPDATES
from pkv_interp.tasks import Message

if TYPE_CHECKING:
    from experiments.editing import EditingSettings

#: Where the conversation starts, behind policy and tools: the middle of the trajectory.
MIDDLE = "conversation"


def errata(loaded: LoadedModel, item: Item, settings: "EditingSettings") -> Chunk:
    """One edit under every wording, and the arms that test what an erratum does and does not do.

    Each arm is scored towards the action that is right under its own text: the new one, but the old one
    after A to B to A and after an erratum about another field.
    """
    context, task = open_context(loaded, item), item.task
    base = context.prefill()
    new, old = item.actions, item.actions[::-1]
    found: Chunk = {
        "stale": scored(base.decide(new), new),
        "full": scored(context.edit(task.field, task.new, "full_reprefill").decide(new), new),
        "wordings": {
            name: scored(erratum(base, task.field, task.new, template).decide(new), new)
            for name, template in UPDATES.items()
        },
    }
    (first, (_, first_new)), *_ = task.bystanders.items()
    # About another field: what was right before is right still, whatever the wording.
    found["unrelated"] = {
        name: scored(erratum(base, first, first_new, template).decide(old), old)
        for name, template in UPDATES.items()
    }

    def said(state: State, field: str, value: str) -> State:
        return erratum(state, field, value, settings.erratum)

    changed = said(base, task.field, task.new)
    back = said(changed, task.field, task.old)
    aside = said(base, first, first_new)
    arms = {
        "middle": (middle(loaded, item, settings.erratum), new),
        "back_again": (back, old),
        "twice": (said(back, task.field, task.new), new),
        "several_last": (said(aside, task.field, task.new), new),
        "several_first": (said(changed, first, first_new), new),
        "another_field": (aside, old),
    }
    found["arms"] = {name: scored(state.decide(gold), gold) for name, (state, gold) in arms.items()}
    found["prefill_difference"] = prefill_difference(base, changed)
    found["earlier_columns_kept"] = kept(base, changed)
    return found


def planted(loaded: LoadedModel, item: Item, settings: "EditingSettings") -> Chunk:
    """The same with a line in the conversation that states the old action."""
    context, task = open_context(loaded, item), item.task
    base = context.prefill()
    states = {
        "stale": base,
        **{name: erratum(base, task.field, task.new, template) for name, template in UPDATES.items()},
        "field_erratum": base.edit(task.field, task.new, "field_erratum", wording=settings.erratum),
        "full_reprefill": base.edit(task.field, task.new, "full_reprefill"),
    }
    return {name: scored(state.decide(item.actions), item.actions) for name, state in states.items()}


def middle(loaded: LoadedModel, item: Item, wording: str) -> State:
    """The erratum stands between policy and conversation; what follows is prefilled behind it."""
    *before, user = item.task.messages
    cut = next(i for i, s in enumerate(user.segments) if s.kind == MIDDLE)
    head = (*before, Message(user.role, user.segments[:cut]))
    rest = "".join(s.text for s in user.segments[cut:])
    base = open_context(loaded, item, messages=head).prefill()
    return erratum(base, item.task.field, item.task.new, wording).append(rest)


def prefill_difference(base: State, changed: State) -> float:
    """Largest difference, in logits, between an erratum behind a stale cache and a prefill of the same text.

    By causality they are one and the same: the erratum's effect is how the model reads an update.
    """
    suffix = base.context.renderer.behind(changed.suffix())
    plain = base.context.runner.prefill((*changed.ids, *suffix)).logits
    return float((changed.logits() - plain).abs().max())


def kept(base: State, changed: State) -> bool:
    """Whether every earlier column is bit for bit what it was."""
    head = changed.cache.slice(0, base.cache.length)
    pairs = zip((*base.cache.keys, *base.cache.values), (*head.keys, *head.values), strict=True)
    return all(bool((a == b).all()) for a, b in pairs)
