"""Does asking first pay? The diagnostic of ``auto`` on three kinds of edit, beside the truth."""

from collections.abc import Sequence
from dataclasses import dataclass

from pkv_interp.editing import EditableContext
from pkv_interp.measure.edit_decisions import ComparedDecision, EditDecision, compared, scored
from pkv_interp.measure.edit_scenes import EditScene, SceneSource, open_context
from pkv_interp.models.load import LoadedModel


@dataclass(frozen=True)
class Asked:
    """The diagnostic on one edit, and the truth.

    Attributes:
        said: the diagnostic says that field-only is not enough.
        needed: field-only decides otherwise than the full re-prefill.
        field_only: the cheap edit.
        full: the full re-prefill.
        tokens: run to ask.
        milliseconds: of asking.
        context: tokens of the context.
    """

    said: bool
    needed: bool
    field_only: ComparedDecision
    full: EditDecision
    tokens: int
    milliseconds: float
    context: int


@dataclass(frozen=True)
class KindsOfEdit:
    """One scene's edits by kind.

    Attributes:
        kinds: of the field that decides (``gating``), of one that nothing depends on (``bystander``), and of
            one that is only read back (``value``); the latter two where the layout has them, the last one
            where its two values are as many tokens, as edits in place ask.
    """

    kinds: dict[str, Asked]


def ask_every_kind(loaded: LoadedModel, scene: EditScene, source: SceneSource, wording: str) -> KindsOfEdit:
    """Ask about one edit of each kind.

    Args:
        loaded: the model.
        scene: whose fields are edited.
        source: makes the edit of a value that is only read back.
        wording: of the erratum that is asked with.
    """
    context, task = open_context(loaded, scene), scene.task
    kinds = {"gating": _ask(context, (task.field, task.new), scene.actions, wording)}
    bystander, (_, other) = next(iter(task.bystanders.items()))
    if bystander in context.prefill().fields:
        kinds["bystander"] = _ask(context, (bystander, other), scene.actions[::-1], wording)
    looked_up = source.looked_up(scene)
    if looked_up is not None:
        copied = open_context(loaded, looked_up)
        value = (looked_up.task.field, looked_up.task.new)
        if _as_long(copied, value):
            kinds["value"] = _ask(copied, value, looked_up.actions, wording)
    return KindsOfEdit(kinds)


def _as_long(context: EditableContext, change: tuple[str, str]) -> bool:
    """Whether a field takes as many tokens after a change as before it."""
    before, after = context.prefill(), context.edit(*change, "full_reprefill")
    (a, b), (c, d) = before.spans[change[0]], after.spans[change[0]]
    return b - a == d - c


def _ask(context: EditableContext, change: tuple[str, str], actions: Sequence[str], wording: str) -> Asked:
    """Ask about one edit, and find out.

    Args:
        context: to edit.
        change: the field and its new value.
        actions: the action that the text with the new value calls for, then the other one.
        wording: of the erratum that is asked with.
    """
    edited = context.edit(*change, "auto", options=actions, wording=wording)
    told = edited.diagnostic
    assert told is not None or edited.exact  # of an edit that is exact nothing is asked
    only = context.edit(*change, "field_only").decide(actions)
    full = context.edit(*change, "full_reprefill").decide(actions)
    return Asked(
        said=told is not None and not told.enough,
        needed=only.choice != full.choice,
        field_only=compared(only, actions, full),
        full=scored(full, actions),
        tokens=0 if told is None else told.cost.tokens,
        milliseconds=0.0 if told is None else told.cost.milliseconds,
        context=len(context.prefill().ids),
    )
