"""Errata: wordings, placement, repeats, several fields, a false one, and a stale conclusion in the way."""

from dataclasses import dataclass

from experiments.editing.settings import EditingSettings
from pkv_interp.editing import State
from pkv_interp.measure.edit_decisions import EditDecision, append_erratum, scored
from pkv_interp.measure.edit_scenes import EditScene, open_context
from pkv_interp.models.load import LoadedModel
from pkv_interp.prompts.errata import UPDATES
from pkv_interp.tasks import Message

#: Where the conversation starts, after policy and tools: the middle of the trajectory.
MIDDLE = "conversation"


@dataclass(frozen=True)
class Errata:
    """One edit under every erratum; each decision is scored towards the action that its own text calls for.

    Attributes:
        stale: the cache as it was, towards the new action.
        full: the full re-prefill.
        wordings: by wording of the erratum.
        unrelated: by wording, of an erratum about another field; the old action stays right.
        arms: placement, repeats and several fields, in the experiment's own wording; none in the middle where
            no conversation comes after the field.
        prefill_difference: largest difference, in logits, of an erratum after a stale cache from a prefill of
            the same text.
        earlier_columns_kept: the erratum left every earlier column bit for bit what it was.
    """

    stale: EditDecision
    full: EditDecision
    wordings: dict[str, EditDecision]
    unrelated: dict[str, EditDecision]
    arms: dict[str, EditDecision]
    prefill_difference: float
    earlier_columns_kept: bool


@dataclass(frozen=True)
class Planted:
    """One edit of a prompt with a line that states the old action, by wording or method."""

    methods: dict[str, EditDecision]


def tell_every_way(loaded: LoadedModel, scene: EditScene, settings: EditingSettings) -> Errata:
    """One edit under every wording, and the arms that test what an erratum does and does not do."""
    context, task = open_context(loaded, scene), scene.task
    base = context.prefill()
    new, old = scene.actions, scene.actions[::-1]
    (first, (_, first_new)), *_ = task.bystanders.items()

    def said(state: State, field: str, value: str) -> State:
        return append_erratum(state, field, value, settings.erratum)

    changed = said(base, task.field, task.new)
    back = said(changed, task.field, task.old)
    aside = said(base, first, first_new)
    # The new action is right after the edit, the old one after A to B to A and after another field's erratum.
    middle = _in_the_middle(loaded, scene, settings.erratum)
    arms = {
        **({} if middle is None else {"middle": (middle, new)}),
        "back_again": (back, old),
        "twice": (said(back, task.field, task.new), new),
        "several_last": (said(aside, task.field, task.new), new),
        "several_first": (said(changed, first, first_new), new),
        "another_field": (aside, old),
    }
    return Errata(
        stale=scored(base.decide(new), new),
        full=scored(context.edit(task.field, task.new, "full_reprefill").decide(new), new),
        wordings={
            name: scored(append_erratum(base, task.field, task.new, name).decide(new), new)
            for name in UPDATES
        },
        unrelated={
            name: scored(append_erratum(base, first, first_new, name).decide(old), old) for name in UPDATES
        },
        arms={name: scored(state.decide(right), right) for name, (state, right) in arms.items()},
        prefill_difference=_prefill_difference(base, changed),
        earlier_columns_kept=_kept(base, changed),
    )


def tell_against(loaded: LoadedModel, scene: EditScene, settings: EditingSettings) -> Planted:
    """One edit by erratum and by refresh where the conversation states the old action."""
    context, task = open_context(loaded, scene), scene.task
    base = context.prefill()
    states = {
        "stale": base,
        **{name: append_erratum(base, task.field, task.new, name) for name in UPDATES},
        "field_erratum": base.edit(task.field, task.new, "field_erratum", wording=settings.erratum),
        "full_reprefill": base.edit(task.field, task.new, "full_reprefill"),
    }
    return Planted(
        {name: scored(state.decide(scene.actions), scene.actions) for name, state in states.items()}
    )


def _in_the_middle(loaded: LoadedModel, scene: EditScene, wording: str) -> State | None:
    """The erratum stands between policy and conversation; what follows is prefilled after it.

    None where no conversation comes after both the field and the policy.
    """
    *before, user = scene.task.messages
    seen, cut = {s.kind for message in before for s in message.segments}, 0
    while cut < len(user.segments) and not (user.segments[cut].kind == MIDDLE and {"field", "rule"} <= seen):
        seen.add(user.segments[cut].kind)
        cut += 1
    if cut == len(user.segments):
        return None
    head = (*before, Message(user.role, user.segments[:cut]))
    rest = "".join(s.text for s in user.segments[cut:])
    base = open_context(loaded, scene, messages=head).prefill()
    return append_erratum(base, scene.task.field, scene.task.new, wording).append(rest)


def _prefill_difference(base: State, changed: State) -> float:
    """Largest difference, in logits, between an erratum after a stale cache and a prefill of the same text.

    By causality they are one and the same: the erratum's effect is how the model reads an update.
    """
    suffix = base.context.renderer.after(changed.suffix())
    whole = base.context.runner.prefill((*changed.ids, *suffix), base.cache.layout).logits
    return float((changed.logits() - whole).abs().max())


def _kept(base: State, changed: State) -> bool:
    """Whether every earlier column is bit for bit what it was."""
    head = changed.cache.slice(0, base.cache.length)
    pairs = zip((*base.cache.keys, *base.cache.values), (*head.keys, *head.values), strict=True)
    return all(bool((a == b).all()) for a, b in pairs)
