"""What an edited cache decides, and the options that editing methods get."""

from collections.abc import Sequence
from dataclasses import dataclass

from pkv_interp.editing import METHODS, Decision, State
from pkv_interp.measure.decision import kl_divergence
from pkv_interp.measure.edit_scenes import EditScene
from pkv_interp.prompts.rendering import on_new_line


@dataclass(frozen=True)
class EditDecision:
    """One decision on an edited cache.

    Attributes:
        margin: towards the action that is right, in logits.
        right: the right action is preferred to the other one.
        is_action: the likeliest token of all is one of the two actions.
    """

    margin: float
    right: bool
    is_action: bool


@dataclass(frozen=True)
class ComparedDecision(EditDecision):
    """One decision beside that of the full re-prefill.

    Attributes:
        kl: divergence of the full re-prefill's next-token distribution from this one's, in nats.
        margin_error: distance of the margins, in logits.
    """

    kl: float
    margin_error: float


def scored(decision: Decision, actions: Sequence[str]) -> EditDecision:
    """A decision, given the right action and then the other one."""
    likeliest = decision.likeliest_option
    return EditDecision(decision.margin, decision.choice == actions[0], likeliest in actions)


def compared(decision: Decision, actions: Sequence[str], full: Decision) -> ComparedDecision:
    """A decision and its distance from that of the full re-prefill, ``full``.

    Args:
        decision: between ``actions``.
        actions: the right one, then the other one.
        full: of the full re-prefill, between the same.
    """
    found = scored(decision, actions)
    return ComparedDecision(
        found.margin,
        found.right,
        found.is_action,
        kl=float(kl_divergence(decision.logits, full.logits)),
        margin_error=abs(decision.margin - full.margin),
    )


def append_erratum(state: State, field: str, value: str, wording: str) -> State:
    """The state with an erratum at its end. Of a field that the text does not have, it is a line like others.

    Args:
        state: to append to.
        field: name of the field that it is about.
        value: that it gives.
        wording: of the erratum.
    """
    if field in state.fields:
        return state.edit(field, value, "erratum", wording=wording)
    line = state.context.renderer.notation.erratum(field, value, wording)
    return state.append(on_new_line(state.text, line))


def options_of(method: str, scene: EditScene, erratum: str, ranking: Sequence[int]) -> dict[str, object]:
    """The options that a method takes out of those that an experiment has.

    Args:
        method: a name of ``METHODS``, with its amount.
        scene: whose field is edited.
        erratum: wording of errata.
        ranking: positions after the field, those first that a method with an amount shall take.
    """
    takes = METHODS[method.partition("@")[0]].options
    has = {"wording": erratum, "options": scene.actions, "ranking": ranking}
    return {name: value for name, value in has.items() if name in takes}


def clamped(method: str, most: int) -> str:
    """The method with no more tokens than stand after the field."""
    name, _, amount = method.partition("@")
    few = METHODS[name].amount != "count" or not amount.isdigit() or int(amount) <= most
    return method if few else f"{name}@{most}"


def edited(base: State, scene: EditScene, method: str, erratum: str, ranking: Sequence[int]) -> State:
    """The state after a scene's edit by one method.

    Args:
        base: before the edit.
        scene: names the field and its new value.
        method: a name of ``METHODS``, with its amount.
        erratum: wording of errata.
        ranking: positions after the field, those first that a method with an amount shall take.
    """
    options = options_of(method, scene, erratum, ranking)
    return base.edit(scene.task.field, scene.task.new, clamped(method, len(ranking)), **options)
