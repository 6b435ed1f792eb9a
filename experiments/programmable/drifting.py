"""Many edits one after the other, against a prefill of the text that they end in."""

from collections.abc import Mapping
from dataclasses import dataclass

from experiments.programmable.edits import another_of_one_length
from pkv_interp.editing import EditableContext, State
from pkv_interp.measure.edit_patterns import Patterns
from pkv_interp.measure.edit_scenes import EditScene
from pkv_interp.models.load import LoadedModel


@dataclass(frozen=True)
class Drift:
    """One context after many edits in place; distances of margins from a prefill, in logits.

    Attributes:
        family: of the context.
        edits: how many, of the field that decides and of another one in turn; each changes a value.
        isolated: under the pattern, from a prefill under it.
        plain: without a pattern, from a plain prefill.
        right: the decision under the pattern is right.
        alike: it is that of the prefill under the pattern.
    """

    family: str
    edits: int
    isolated: float
    plain: float
    right: bool
    alike: bool


def drift(loaded: LoadedModel, scene: EditScene, links: int, edits: int) -> Drift:
    """Edit and edit again.

    Args:
        loaded: the model.
        scene: whose prompt it is.
        links: link tokens after the rule.
        edits: how many; the deciding field ends in the new value, unless it is edited alone and evenly.
    """
    made = Patterns.of(loaded, scene, links)
    isolated, fresh = _ends(made.isolated, scene, edits)
    plain, whole = _ends(made.plain, scene, edits)
    return Drift(
        scene.family,
        edits,
        abs(isolated - fresh),
        abs(plain - whole),
        isolated > 0,
        (isolated > 0) == (fresh > 0),
    )


def _ends(context: EditableContext, scene: EditScene, edits: int) -> tuple[float, float]:
    """Margins towards the right action after the edits, and of a prefill of that text."""
    base = context.prefill()
    state: State = base
    other = another_of_one_length(base, scene)
    values = {scene.task.field: (scene.task.old, scene.task.new)}
    if other is not None:
        values[other[0]] = (base.fields[other[0]], other[1])
    for name, value in steps(values, edits):
        state = state.edit(name, value, "field_only")
    fresh: State = base
    for name, value in state.fields.items():
        if value != base.fields[name]:
            fresh = fresh.edit(name, value, "full_reprefill")
    sign = 1 if state.fields[scene.task.field] == scene.task.new else -1
    return sign * state.decide(scene.actions).margin, sign * fresh.decide(scene.actions).margin


def steps(values: Mapping[str, tuple[str, str]], edits: int) -> list[tuple[str, str]]:
    """Names and values of edits, the deciding field and another one in turn.

    Each edit sets the value that its field does not have. So a field ends in its new value only after an odd
    number of edits; where the deciding field would take an even one, the other field takes its first edit.

    Args:
        values: old and new value, by name, the deciding field first.
        edits: how many.
    """
    deciding, *others = values
    order = [(deciding, *others)[at % len(values)] for at in range(edits)]
    if others and order.count(deciding) % 2 == 0:
        order[0] = others[0]
    return [(name, values[name][order[: at + 1].count(name) % 2]) for at, name in enumerate(order)]
