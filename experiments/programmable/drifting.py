"""Many edits one after the other, against a prefill of the text that they end in."""

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
        edits: how many, of the field that decides and of another one in turn.
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
        edits: how many; the last one of the deciding field gives it the new value.
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
    """Margins towards the new action after the edits, and of a prefill of that text."""
    base = context.prefill()
    state: State = base
    for name, value in _steps(base, scene, edits):
        state = state.edit(name, value, "field_only")
    fresh: State = base
    for name, value in state.fields.items():
        if value != base.fields[name]:
            fresh = fresh.edit(name, value, "full_reprefill")
    return state.decide(scene.actions).margin, fresh.decide(scene.actions).margin


def _steps(base: State, scene: EditScene, edits: int) -> list[tuple[str, str]]:
    """Names and values in order, the deciding field and another one in turn."""
    task, other = scene.task, another_of_one_length(base, scene)
    values = {task.field: (task.old, task.new)}
    if other is not None:
        values[other[0]] = (base.fields[other[0]], other[1])
    names = list(values)
    order = [names[at % len(names)] for at in range(edits)]
    left = {name: order.count(name) for name in names}
    found = []
    for name in order:
        # Counted from the end, so that the last value of each is the new one.
        found.append((name, values[name][left[name] % 2]))
        left[name] -= 1
    return found
