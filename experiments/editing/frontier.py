"""The frontier: what each editing method decides on one edit, and what it costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter

from experiments.editing.settings import EditingSettings
from pkv_interp.editing import Decision, State
from pkv_interp.measure.edit_decisions import ComparedDecision, EditDecision, compared, edited, scored
from pkv_interp.measure.edit_ranking import aligned, most_attended
from pkv_interp.measure.edit_scenes import EditScene, SceneSource, open_context
from pkv_interp.models.load import LoadedModel

#: Ends of the scale, measured whether or not they were asked for.
ENDS = ("stale", "full_reprefill")


@dataclass(frozen=True)
class MethodResult:
    """One method on one edit.

    Attributes:
        decision: after the edit.
        tokens: run through the whole model.
        share: of the context's tokens that was run.
        edit_ms: milliseconds of the edit.
        latency_ms: milliseconds of the edit and the decision.
        prompt_surgery: the prompt was laid out anew.
        setup_tokens: prefilled once, for this and later edits.
    """

    decision: ComparedDecision
    tokens: int
    share: float
    edit_ms: float
    latency_ms: float
    prompt_surgery: bool
    setup_tokens: int


@dataclass(frozen=True)
class FrontierEdit:
    """Every method on one edit of the field that decides.

    Attributes:
        stale: the cache as it was.
        full: the full re-prefill.
        methods: by name.
        aligned: the context's tokens are those of the pair that names its positions.
        tokens: of the context.
        distance: tokens after the field.
    """

    stale: ComparedDecision
    full: EditDecision
    methods: dict[str, MethodResult]
    aligned: bool
    tokens: int
    distance: int


def edit_every_way(
    loaded: LoadedModel,
    scene: EditScene,
    source: SceneSource,
    attention: Mapping[str, float],
    settings: EditingSettings,
) -> FrontierEdit:
    """Every method on one edit, each on the same base.

    The stale and the fully re-prefilled context are always measured, as the ends of the scale. Methods with
    an amount take the positions that the decision attended to most on other instances.

    Args:
        loaded: the model.
        scene: to edit.
        source: makes the field pair that names the scene's positions.
        attention: by anchor, learned on other instances of the family.
        settings: methods and wording.
    """
    base = open_context(loaded, scene).prefill()
    case = source.matching_case(scene)
    ranking = most_attended(base, scene, case, attention)
    states = {
        method: edited(base, scene, method, settings.erratum, ranking)
        for method in dict.fromkeys((*ENDS, *settings.methods))
    }
    decided = {method: _timed(state, scene) for method, state in states.items()}
    stale, full = (decided[end][0] for end in ENDS)
    return FrontierEdit(
        stale=compared(stale, scene.actions, full),
        full=scored(full, scene.actions),
        methods={m: _result(states[m], scene, decided[m], full) for m in settings.methods},
        aligned=aligned(base, scene, case),
        tokens=len(base.ids),
        distance=len(base.ids) - base.spans[scene.task.field][1],
    )


def _result(state: State, scene: EditScene, decided: tuple[Decision, float], full: Decision) -> MethodResult:
    decision, milliseconds = decided
    return MethodResult(
        decision=compared(decision, scene.actions, full),
        tokens=state.cost.tokens,
        share=state.cost.share,
        edit_ms=state.cost.milliseconds,
        latency_ms=state.cost.milliseconds + milliseconds,
        prompt_surgery=state.cost.prompt_surgery,
        setup_tokens=state.cost.setup_tokens,
    )


def _timed(state: State, scene: EditScene) -> tuple[Decision, float]:
    """The decision, and the milliseconds that it took."""
    begin = perf_counter()
    decision = state.decide(scene.actions)
    return decision, (perf_counter() - begin) * 1e3
