"""What the composing experiment measures: conditions, curves, function calls, sliding windows, times."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from experiments.composing.calls import Answer, measure_calls
from experiments.composing.cases import Growth, Scene, build_scene, skills_around
from experiments.composing.checks import check_splices
from experiments.composing.scenes import SceneResult, measure_scene
from experiments.composing.settings import BLIND, MAIN, ComposingSettings
from experiments.composing.spliced import Arms
from experiments.composing.timing import Round, text_of, time_round
from experiments.composing.windows import Diagnosis, measure_diagnosis
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.rotation import rotations_of
from pkv_interp.errors import PkvError
from pkv_interp.tasks import Family

if TYPE_CHECKING:
    from pkv_interp.run.session import Session

Curve = Literal["chunk_fillers", "distance_fillers", "skills"]
CURVES: tuple[Curve, ...] = ("chunk_fillers", "distance_fillers", "skills")
#: Conditions whose chunks are also precompiled after other contexts.
PREPARED = (MAIN, BLIND)
#: What a pattern does here; the full prefill stays plain: agreement with it says what blindness costs.
_UNDER = "chunks and the arm full_blind, and no other full prefill, are made"
#: Conditions whose seams are repaired token by token (notes that need nothing, blind ones, several chunks),
#: and the two repairs of the others.
SEAMED, FEW = (MAIN, BLIND, "all"), (1, 16)
#: Conditions on which the controls are measured: one chunk, and several.
CHECKED = (MAIN, "all")
#: Tokens of the unrelated context that chunks are precompiled after.
STRANGER_TOKENS = 32


@dataclass(frozen=True)
class CurvePoint:
    """Scenes of the main condition with something of one size: ``curve`` is the setting that lists sizes."""

    curve: str
    size: int
    scenes: list[SceneResult]


@dataclass(frozen=True)
class TooLong:
    """A size of the setting ``what`` that was left out: the model serves fewer ``positions``."""

    what: str
    size: int
    positions: int


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Attributes:
        conditions: scenes by what is moved where.
        curves: points in the order of the settings.
        left_out: sizes that the model does not serve.
        calls: answers to function requests, by arm.
        diagnosis: of sliding windows.
        times: rounds of timing.
    """

    conditions: dict[str, list[SceneResult]]
    curves: list[CurvePoint]
    left_out: list[TooLong]
    calls: dict[str, list[Answer]]
    diagnosis: list[Diagnosis]
    times: list[Round]


def measure(session: "Session[ComposingSettings]") -> Measured:
    """Check splices, then measure every part."""
    settings, tokenizer = session.settings, session.tokenizer
    runner, limit = Runner.of(session.loaded.model), rotations_of(session.loaded.model).limit
    lengths = tuple(length for length in settings.lengths if length <= limit)
    if len(lengths) < 2:
        raise PkvError(f"{settings.model.name} serves {limit} positions", f"use two lengths up to {limit}")
    chosen = settings.chosen(settings.families)
    checked = [build_scene(name, chosen[0], 0, tokenizer, settings) for name in CHECKED]
    check_splices(session, runner, checked, blind=session.pattern(_UNDER) is not None)
    conditions = {name: _condition(session, runner, name, chosen) for name in settings.conditions}
    # A model that serves fewer positions is measured as far as it goes, and the record says so.
    left_out = [TooLong("lengths", length, limit) for length in settings.lengths if length > limit]
    curves: list[CurvePoint] = []
    for curve in CURVES:
        for size in getattr(settings, curve):
            grown = _grown(curve, size, chosen, tokenizer, settings)
            if max(len(scene.case.clean) for scene in grown) <= limit:
                stage = f"{curve} {size}"
                few = Arms(FEW, blind=settings.model.pattern is not None)
                curves.append(CurvePoint(curve, size, _scenes(session, runner, stage, grown, few)))
            else:
                left_out.append(TooLong(curve, size, limit))
    return Measured(
        conditions,
        curves,
        left_out,
        measure_calls(session, runner),
        measure_diagnosis(session, runner),
        _times(session, runner, chosen[: settings.rounds], lengths),
    )


def _scenes(
    session: "Session[ComposingSettings]", runner: Runner, stage: str, scenes: Sequence[Scene], arms: Arms
) -> list[SceneResult]:
    def one(scene: Scene) -> SceneResult:
        return measure_scene(runner, session.tokenizer, scene, arms)

    return session.each(stage, scenes, one, SceneResult).of(scenes)


def _condition(
    session: "Session[ComposingSettings]", runner: Runner, condition: str, chosen: Sequence[Family]
) -> list[SceneResult]:
    settings, tokenizer = session.settings, session.tokenizer
    repairs = settings.repairs if condition in SEAMED else FEW
    count = settings.instances if condition == MAIN else 1
    scenes = [
        build_scene(condition, family, index, tokenizer, settings)
        for family in chosen
        for index in range(count)
    ]
    strangers = {
        family.name: tuple(text_of(other, STRANGER_TOKENS, tokenizer, settings.seed))
        for family, other in zip(chosen, [*chosen[1:], chosen[0]], strict=True)
        if condition in PREPARED
    }

    def one(scene: Scene) -> SceneResult:
        stranger = strangers.get(scene.case.family, ())
        arms = Arms(repairs, settings.blend_share, stranger, settings.model.pattern is not None)
        return measure_scene(runner, tokenizer, scene, arms)

    return session.each(condition, scenes, one, SceneResult).of(scenes)


def _grown(
    curve: Curve, size: int, chosen: Sequence[Family], tokenizer: object, settings: ComposingSettings
) -> list[Scene]:
    """Scenes of the main condition in which what the curve is over has this size."""

    def growth(family: Family) -> Growth:
        match curve:
            case "chunk_fillers":
                return Growth(n_fillers=size)
            case "distance_fillers":
                return Growth(before=size)
            case "skills":
                return Growth(skills=skills_around(family, size, settings.world))

    return [
        build_scene(MAIN, family, 0, tokenizer, settings, growth(family))
        for family in chosen[: settings.curve_families]
    ]


def _times(
    session: "Session[ComposingSettings]",
    runner: Runner,
    chosen: Sequence[Family],
    lengths: tuple[int, ...],
) -> list[Round]:
    settings, tokenizer = session.settings, session.tokenizer
    return [
        session.once(
            f"time/{family.name}",
            lambda family=family: time_round(
                runner, tokenizer, family, lengths, settings.suffix, settings.seed
            ),
            Round,
        )
        for family in chosen
    ]
