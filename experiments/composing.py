"""Can notes be moved? A piece of a prompt is prefilled once, alone, turned to its place and spliced in.

Field pairs whose policy, session or tool block is a chunk; the splice's decision is held against that of a
full prefill, on both field values. Agreement is counted where the full prefill is right on both: elsewhere an
arm that never looks at the prompt would agree as well. Source of the questions: arXiv 2606.17107, composing.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Self

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator
from rich.console import Console
from rich.progress import track

from experiments._cli import Settings, entry
from experiments._composing_cases import BLIND, CONDITIONS, LOOKUP, MAIN, Scene, scene
from experiments._composing_gemma import diagnosed
from experiments._composing_measures import Found, measure_controls, measure_scene
from experiments._composing_sides import decisions_of
from experiments._composing_summary import Measured, summarise
from experiments._composing_time import PREFIX, text_of, time_round
from experiments._composing_tools import called
from experiments._fields import Draws, SeveralFamilies, rising
from experiments._setup import TOLERANCE, TURNED, competence, open_model, run_on, set_floor
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.rotation import rotations_of
from pkv_interp.errors import PkvError
from pkv_interp.models.load import LoadedModel
from pkv_interp.records import Run, RunRecord
from pkv_interp.tasks import FAMILIES, Family, families

#: Allowed error of keys that were turned there and back, by the dtype of the model.
THERE_AND_BACK = {"float32": 1e-5, "bfloat16": 0.1, "float16": 0.02}
#: Conditions whose chunks are also precompiled behind other contexts.
PREPARED = (MAIN, BLIND)
#: Conditions whose seams are repaired token by token (notes that need nothing, blind ones, several chunks),
#: and the two repairs of the others.
SEAMED, FEW = (MAIN, BLIND, "all"), (1, 16)
#: Conditions on which the controls are measured: one chunk, and several.
CHECKED = (MAIN, "all")


class ComposingSettings(Settings):
    """Settings of this experiment; configs/composing.yaml says what each means."""

    families: SeveralFamilies
    instances: PositiveInt
    n_fillers: NonNegativeInt
    chat: bool
    conditions: tuple[str, ...]
    seams: tuple[PositiveInt, ...]
    blend_share: Annotated[float, Field(gt=0.0, le=1.0)]
    curve_families: PositiveInt
    chunk_fillers: tuple[NonNegativeInt, ...]
    distance_fillers: tuple[NonNegativeInt, ...]
    skills: tuple[PositiveInt, ...]
    tool_values: Annotated[int, Field(ge=0, le=3)]
    tool_tokens: PositiveInt
    diagnosis_prompts: NonNegativeInt
    lengths: tuple[PositiveInt, ...]
    rounds: PositiveInt
    suffix: PositiveInt
    competence_threshold: float
    bootstrap_draws: Draws

    @field_validator("conditions")
    @classmethod
    def _known_with_the_main_one(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in (*CONDITIONS, LOOKUP)]
        if unknown or MAIN not in names or len(set(names)) < len(names):
            raise ValueError(f"name '{MAIN}' and others of {', '.join((*CONDITIONS, LOOKUP))}, each once")
        return names

    @field_validator("seams", "chunk_fillers", "distance_fillers", "skills")
    @classmethod
    def _rising(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        return rising(values)

    @field_validator("lengths")
    @classmethod
    def _enough_for_a_slope(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        if len(rising(values)) < 2:
            raise ValueError("give at least two lengths: an exponent is fitted")
        return values

    @model_validator(mode="after")
    def _room_for_a_chunk(self) -> Self:
        if self.lengths[0] <= PREFIX + self.suffix:
            raise ValueError(f"lengths must be more than {PREFIX + self.suffix}, to leave room for a chunk")
        return self

    @property
    def repairs(self) -> list[int]:
        """Numbers of first tokens recomputed; the headline's 1 is always among them."""
        return sorted({1, *self.seams})


def composing(settings: ComposingSettings) -> RunRecord:
    """Run the experiment, or return the record of an identical finished run."""
    return run_on("composing", settings, lambda run: measure(settings, run))


def measure(settings: ComposingSettings, run: Run) -> None:
    """The experiment itself: controls, conditions, curves, tools, diagnosis, time, summary."""
    loaded = open_model(settings, run)
    runner, tokenizer = Runner.of(loaded.model), loaded.tokenizer
    limit = rotations_of(loaded.model).limit
    # A model that serves fewer positions is measured as far as it goes, and the record says so.
    lengths = tuple(length for length in settings.lengths if length <= limit)
    left_out: list[dict[str, Any]] = [
        {"what": "lengths", "size": n, "positions": limit} for n in settings.lengths if n > limit
    ]
    if len(lengths) < 2:
        raise PkvError(f"{settings.model.name} serves {limit} positions", f"use two lengths up to {limit}")
    chosen = families(settings.families or [family.name for family in FAMILIES])

    def made(condition: str, family: Family, index: int = 0, **options: Any) -> Scene:
        return scene(condition, family, index, tokenizer, settings, **options)

    controls(run, runner, loaded, [made(name, chosen[0]) for name in CHECKED])

    def each(what: str, scenes: Sequence[Scene], function: Callable[[Scene], Any]) -> list[Found]:
        shown = track(scenes, description=what, console=Console(stderr=True))
        return [run.chunk(f"{what}/{s.case.instance}", lambda s=s: function(s)) for s in shown]

    def fidelity(condition: str) -> tuple[list[Scene], list[Found]]:
        count = settings.instances if condition == MAIN else 1
        scenes = [made(condition, family, index) for family in chosen for index in range(count)]
        strangers = {f.name: g for f, g in zip(chosen, [*chosen[1:], chosen[0]], strict=True)}

        def one(at: Scene) -> dict[str, Any]:
            stranger = text_of(strangers[at.case.family], 32, tokenizer, settings.seed)
            return measure_scene(
                runner,
                tokenizer,
                at,
                repairs=settings.repairs if condition in SEAMED else FEW,
                share=settings.blend_share,
                stranger=stranger if condition in PREPARED else (),
            )

        return scenes, each(condition, scenes, one)

    conditions = {name: fidelity(name) for name in settings.conditions}
    competence(
        run,
        decisions_of(*conditions[MAIN]),
        settings.competence_threshold,
        seed=settings.seed,
        draws=settings.bootstrap_draws,
    )
    fewer = chosen[: settings.curve_families]

    def around(family: Family, count: int) -> list[Family]:
        at = FAMILIES.index(family)
        return [FAMILIES[(at + 1 + i) % len(FAMILIES)] for i in range(count - 1)]

    grown: dict[str, Callable[[Family, int], Scene]] = {
        "chunk_fillers": lambda family, n: made(MAIN, family, n_fillers=n),
        "distance_fillers": lambda family, n: made(MAIN, family, before=n),
        "skills": lambda family, n: made(MAIN, family, skills=around(family, n)),
    }

    def point_of(s: Scene) -> dict[str, Any]:
        return measure_scene(runner, tokenizer, s, repairs=FEW)

    curves: dict[tuple[str, int], tuple[list[Scene], list[Found]]] = {}
    for what, build in grown.items():
        for n in getattr(settings, what):
            scenes = [build(family, n) for family in fewer]
            if max(len(one.case.clean) for one in scenes) <= limit:
                curves[what, n] = scenes, each(f"{what} {n}", scenes, point_of)
            else:
                left_out.append({"what": what, "size": n, "positions": limit})

    if left_out:
        run.tables["left_out"] = left_out
    summarise(
        run,
        settings,
        Measured(
            conditions,
            curves,
            run.chunk("tools", lambda: called(settings, runner, loaded)),
            run.chunk("diagnosis", lambda: diagnosed(settings, runner, loaded)),
            [
                run.chunk(
                    f"time/{family.name}",
                    lambda family=family: time_round(
                        runner, tokenizer, family, lengths, settings.suffix, settings.seed
                    ),
                )
                for family in chosen[: settings.rounds]
            ],
        ),
    )


def controls(run: Run, runner: Runner, loaded: LoadedModel, scenes: Sequence[Scene]) -> None:
    """A splice at its own position, a rotation there and back, a whole chunk repaired; the noise floor."""
    found = run.chunk("controls", lambda: measure_controls(runner, loaded.tokenizer, scenes))
    logits, detail = TOLERANCE[loaded.info.dtype][1], f"one scene of each of {len(scenes)} conditions"
    run.control("splice_at_own_position", found["own_position"], 0.0, logits, f"logits, {detail}")
    run.control(
        "there_and_back", found["there_and_back"], 0.0, THERE_AND_BACK[loaded.info.dtype], f"keys, {detail}"
    )
    run.control(
        "turned_keys",
        found["turned"],
        0.0,
        TURNED[loaded.info.dtype],
        f"first layer's keys of chunks made elsewhere against a full prefill's, as a share, {detail}",
    )
    run.control("whole_chunk_recomputed", found["whole_seam"], 0.0, logits, f"logits, {detail}")
    run.control("extend_equals_prefill", found["noise"], 0.0, logits, f"logits, {detail}")
    set_floor(run, max(found["noise"], found["own_position"], found["whole_seam"]))


main = entry("composing", ComposingSettings)(composing)

if __name__ == "__main__":
    main()
