"""What an edit and the decision after it cost, for the first and for many edits."""

from collections.abc import Callable
from dataclasses import dataclass

from pkv_interp.editing import Decision, EditableContext, State
from pkv_interp.measure.edit_decisions import clamped
from pkv_interp.measure.edit_patterns import Patterns
from pkv_interp.measure.edit_scenes import EditScene
from pkv_interp.measure.timing import seconds
from pkv_interp.models.load import LoadedModel
from pkv_interp.prompts.readout import read_back_cue


@dataclass(frozen=True)
class ArmCost:
    """Tokens and seconds of each edit with its decision, in order; see ``measure.timing`` for the clock."""

    tokens: list[int]
    seconds: list[float]


@dataclass(frozen=True)
class Costs:
    """One context edited many times, by each way to do it.

    Attributes:
        family: of the context.
        length: its tokens.
        arms: by name.
    """

    family: str
    length: int
    arms: dict[str, ArmCost]


def edit_costs(
    loaded: LoadedModel, scene: EditScene, links: int, edits: int, reader: LoadedModel | None = None
) -> Costs:
    """Edit back and forth, deciding each time. A first edit by each method is run and not counted.

    Args:
        loaded: the model.
        scene: whose prompt it is.
        links: link tokens after the rule.
        edits: how many.
        reader: a model that reads fields back, whose decisions after isolated edits are measured as well.
    """
    made = Patterns.of(loaded, scene, links)
    after = made.plain.prefill().cache.length - made.plain.prefill().spans[scene.task.field][1]
    ways: dict[str, tuple[EditableContext, str]] = {
        "isolated": (made.isolated, "field_only"),
        "tagged_erratum": (made.plain, "erratum"),
        "recompute_32": (made.plain, clamped("recompute@32", after)),
        # The prefix stays cached and the line with the value is run again: a prefix cache, the field last.
        "field_last": (made.plain, "hoist"),
    }
    if made.ruled is not None:
        ways["rule_linked"] = (made.ruled, "field_only")
    arms = {name: _chain(loaded, scene, way, edits) for name, way in ways.items()}
    if reader is not None:
        isolated = Patterns.of(reader, scene).isolated.reading_back(scene.task.field)
        arms["isolated_read"] = _chain(reader, scene, (isolated, "field_only"), edits)
    arms["full"] = _anew(loaded, scene, made.plain, edits)
    return Costs(scene.family, made.plain.prefill().cache.length, arms)


def _chain(loaded: LoadedModel, scene: EditScene, way: tuple[EditableContext, str], edits: int) -> ArmCost:
    context, method = way
    options = {"wording": "tagged"} if method == "erratum" else {}
    base = context.prefill()
    state = base
    if method == "hoist":  # laid out once, which is setup
        state = base.edit(scene.task.field, scene.task.old, method)
    kept: list[State] = [state]

    def step(value: str) -> Callable[[], tuple[State, Decision]]:
        def work() -> tuple[State, Decision]:
            made = kept[-1].edit(scene.task.field, value, method, **options)
            return made, made.decide(scene.actions)

        return work

    step(scene.task.new)()
    found = ArmCost([], [])
    for at in range(edits):
        took, (made, decided) = seconds(step(_value(scene, at)), loaded.device)
        kept.append(made)
        found.tokens.append(made.cost.tokens + _decided_by(base, decided.value))
        found.seconds.append(took)
    return found


def _decided_by(base: State, value: str | None) -> int:
    """Tokens that a decision runs: what stands after the context, and the value where it is read back."""

    def after(cue: str | None) -> int:
        return len(base.context.renderer.after(base.suffix(cue=cue)))

    field = base.context.read_back
    if field is None or value is None:
        return after(None)
    # The value is written token by token after its own cue, and stands before the cue of the action.
    written = after(f"{read_back_cue(field)} {value}")
    return written + after(read_back_cue(field, value, base.context.cue))


def _anew(loaded: LoadedModel, scene: EditScene, context: EditableContext, edits: int) -> ArmCost:
    """The whole prompt each time; nothing of an earlier one is kept."""
    base = context.prefill()
    found = ArmCost([], [])
    for at in range(edits):
        value = _value(scene, at)
        layout = base.layout.with_value(context.renderer, scene.task.field, value)
        ids = (*layout.ids, *context.renderer.after(base.suffix()))
        took, _ = seconds(lambda ids=ids: context.runner.prefill(ids), loaded.device)
        found.tokens.append(len(ids))
        found.seconds.append(took)
    return found


def _value(scene: EditScene, at: int) -> str:
    return scene.task.old if at % 2 else scene.task.new
