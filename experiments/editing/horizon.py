"""A long horizon: the field changes every turn, in one cache that is edited on and on."""

from dataclasses import dataclass

from experiments.editing.settings import EditingSettings
from pkv_interp.measure.edit_decisions import EditDecision, compared, scored
from pkv_interp.measure.edit_scenes import EditScene, open_context
from pkv_interp.models.load import LoadedModel

#: What each turn says beside its change.
TURN = "Turn {n}: record checked."
REFERENCE = "full_reprefill"
EVOLVING = ("stale", "erratum", "field_erratum", "field_only")


@dataclass(frozen=True)
class TurnResult:
    """One arm at one turn.

    Attributes:
        decision: towards the action that the turn's value calls for.
        margin_error: distance from the reference's margin, in logits.
        tokens: run for the turn; for the reference, those of the whole text.
    """

    decision: EditDecision
    margin_error: float
    tokens: int


@dataclass(frozen=True)
class Turn:
    """One turn; odd ones (counted from 1) have the new value, even ones the old."""

    number: int
    arms: dict[str, TurnResult]


@dataclass(frozen=True)
class Horizon:
    """All turns of one prompt."""

    turns: list[Turn]


def run_turns(loaded: LoadedModel, scene: EditScene, settings: EditingSettings) -> Horizon:
    """The field changes every turn; evolving caches against a prefill of the text with the current value.

    The reference says the current value in its place and none of the errata, so it is another text: with the
    errata in it, causality alone would make both the same. A prefill of either value is made once and grows
    by each turn's line, which by causality is the prefill of the whole text. The errata have a wording of
    their own: where those of the first turn are not followed, there is nothing that could drift.
    """
    context, task = open_context(loaded, scene), scene.task
    base = context.prefill()
    evolving = dict.fromkeys(EVOLVING, base)
    fresh = {value: base.edit(task.field, value, "full_reprefill") for value in (task.old, task.new)}
    turns = []
    for number in range(1, settings.turns + 1):
        value = task.new if number % 2 else task.old
        actions = scene.actions if number % 2 else scene.actions[::-1]
        line = f"{task.notation.said(TURN.format(n=number))}\n"
        fresh = {one: state.append(line) for one, state in fresh.items()}
        full = fresh[value]
        reference = full.decide(actions)
        arms = {REFERENCE: TurnResult(scored(reference, actions), 0.0, len(full.ids))}
        for name, state in evolving.items():
            told = {"wording": settings.horizon_erratum} if "erratum" in name else {}
            edited = state.edit(task.field, value, name, **told)
            after = edited.append(line)
            evolving[name] = after
            decision = compared(after.decide(actions), actions, reference)
            arms[name] = TurnResult(decision, decision.margin_error, edited.cost.tokens + after.cost.tokens)
        turns.append(Turn(number, arms))
    return Horizon(turns)
