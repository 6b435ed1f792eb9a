"""The frontier: what each editing method decides on one edit, and what it costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter

from experiments.editing.settings import READ_BACK, EditingSettings
from pkv_interp.editing import Decision, State
from pkv_interp.measure.edit_decisions import ComparedDecision, EditDecision, compared, edited, scored
from pkv_interp.measure.edit_ranking import aligned, most_attended
from pkv_interp.measure.edit_scenes import EditScene, SceneSource, open_context
from pkv_interp.measure.last_token import KeptQuestion
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
        last_token: the decision by the published readout, the last token alone over the edited cache; None in
            measurements of before.
        question_kept: the question's columns are those of before the edit there; else the question ran, and
            the two decisions are one.
    """

    decision: ComparedDecision
    tokens: int
    share: float
    edit_ms: float
    latency_ms: float
    prompt_surgery: bool
    setup_tokens: int
    last_token: ComparedDecision | None = None
    question_kept: bool = False


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
        readouts_differ_by: in logits, how far the margins of the two readouts of the stale cache lie apart,
            which must be nothing; None in measurements of before.
    """

    stale: ComparedDecision
    full: EditDecision
    methods: dict[str, MethodResult]
    aligned: bool
    tokens: int
    distance: int
    readouts_differ_by: float | None = None


def edit_every_way(
    loaded: LoadedModel,
    scene: EditScene,
    source: SceneSource,
    attention: Mapping[str, float],
    settings: EditingSettings,
) -> FrontierEdit:
    """Every method on one edit, each on the same base.

    The stale and the fully re-prefilled context are always measured, as the ends of the scale. Each decides
    twice: with the question run after the edit, and by the last token alone over the old question. Methods
    with an amount take the positions that the decision attended to most on other instances.

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
    if READ_BACK in settings.frontier_methods:
        isolated = open_context(loaded, scene, pattern="isolated").prefill()
        alone = isolated.edit(scene.task.field, scene.task.new, "field_only")
        states[READ_BACK] = alone.reading_back(scene.task.field)
    decided = {method: _timed(state, scene) for method, state in states.items()}
    stale, full = (decided[end][0] for end in ENDS)
    question = KeptQuestion.of(base)
    unchanged = question.decide(states["stale"], scene.actions)
    return FrontierEdit(
        stale=compared(stale, scene.actions, full),
        full=scored(full, scene.actions),
        methods={m: _result(states[m], scene, decided[m], full, question) for m in settings.frontier_methods},
        aligned=aligned(base, scene, case),
        tokens=len(base.ids),
        distance=len(base.ids) - base.spans[scene.task.field][1],
        readouts_differ_by=abs(unchanged.margin - stale.margin),
    )


def _result(
    state: State,
    scene: EditScene,
    decided: tuple[Decision, float],
    full: Decision,
    question: KeptQuestion,
) -> MethodResult:
    decision, milliseconds = decided
    # What is read back stands after the question; there is no decision of its last token alone.
    kept = state.context.read_back is None and question.is_kept_by(state)
    last = question.decide(state, scene.actions) if kept else decision
    return MethodResult(
        decision=compared(decision, scene.actions, full),
        tokens=state.cost.tokens,
        share=state.cost.share,
        edit_ms=state.cost.milliseconds,
        latency_ms=state.cost.milliseconds + milliseconds,
        prompt_surgery=state.cost.prompt_surgery,
        setup_tokens=state.cost.setup_tokens,
        last_token=compared(last, scene.actions, full),
        question_kept=kept,
    )


def _timed(state: State, scene: EditScene) -> tuple[Decision, float]:
    """The decision, and the milliseconds that it took."""
    begin = perf_counter()
    decision = state.decide(scene.actions)
    return decision, (perf_counter() - begin) * 1e3
