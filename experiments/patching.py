"""Which cached keys and values carry a decision whose field has changed?

Field pairs: the rule stays, the field flips (clean = the new value's prompt, corrupt = the stale one).
Positions are ranked on some instances of a family and scored on others, found again by their anchors, never
ranked on the scored instance. Source of the questions: arXiv 2606.17107, patching; protocol and fixes are in
the README.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, Any

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator
from rich.console import Console
from rich.progress import track

from experiments._cli import Settings, entry
from experiments._fields import Draws, SeveralFamilies
from experiments._patching_cases import HEADLINE_K, Item, build_items, style_of
from experiments._patching_measures import Chunk, doses, grid, make_rankings, rank_sites, score, think
from experiments._patching_summary import summarise
from experiments._setup import competence, gather_controls, run_once
from pkv_interp.cache.frozen import Part
from pkv_interp.engine import Engine
from pkv_interp.measure.competence import Decision
from pkv_interp.records import Run, RunRecord

Share = Annotated[float, Field(gt=0.0, le=1.0)]


class PatchingSettings(Settings):
    """Settings of this experiment; configs/patching.yaml says what each means."""

    families: SeveralFamilies
    values: dict[str, tuple[str, str]]
    instances: PositiveInt
    n_fillers: NonNegativeInt
    chat: bool
    top_k: tuple[PositiveInt, ...]
    random_draws: PositiveInt
    shares: tuple[Share, ...]
    knockout_shares: tuple[Share, ...]
    knockout_draws: PositiveInt
    grid_cases: PositiveInt
    grid_parts: tuple[Part, ...]
    fillers: tuple[NonNegativeInt, ...]
    rules: tuple[PositiveInt, ...]
    dose_instances: PositiveInt
    cot: bool
    cot_cases: PositiveInt
    cot_tokens: PositiveInt
    competence_threshold: float
    bootstrap_draws: Draws

    @field_validator("top_k", "shares", "knockout_shares", "fillers", "rules", "grid_parts")
    @classmethod
    def _rising(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        numbers = not any(isinstance(v, str) for v in values)
        if (
            not values
            or len(set(values)) < len(values)
            or (numbers and any(a > b for a, b in pairwise(values)))
        ):
            raise ValueError("give at least one, each once and in rising order")
        return values

    @property
    def sizes(self) -> list[int]:
        """Sizes of position sets; the headline's is always among them."""
        return sorted({*self.top_k, HEADLINE_K})


def patching(settings: PatchingSettings) -> RunRecord:
    """Run the experiment, or return the record of an identical finished run."""
    return run_once(
        "patching",
        settings,
        lambda run, engine: measure(settings, run, engine),
    )


def measure(settings: PatchingSettings, run: Run, engine: Engine) -> None:
    """The experiment itself: rankings, scores, grid, doses, chains, summary."""
    items = build_items(settings, engine.loaded.tokenizer)
    ranked, scored = items["discovery"], items["held_out"]
    first = scored[:: settings.instances]  # one of each family
    reason = style_of(settings, reason_first=True, thinking=None if settings.model.thinking is None else True)
    thinkers = [item.build(reason) for item in first[: settings.cot_cases]] if settings.cot else []
    gather_controls(run, engine, [ranked[0].case, ranked[-1].case, scored[0].case, scored[-1].case])

    def each(what: str, chosen: Sequence[Any], function: Callable[[Any], Chunk]) -> list[Chunk]:
        names = [x.case.instance if isinstance(x, Item) else x.instance for x in chosen]
        return [
            run.chunk(f"{what}/{name}", lambda one=one: function(one))
            for one, name in track(
                list(zip(chosen, names, strict=True)), description=what, console=Console(stderr=True)
            )
        ]

    found = each("ranking", ranked, lambda item: rank_sites(engine, item.case))
    rankings = make_rankings([item.case for item in ranked], found)
    scores = each("scoring", scored, lambda item: score(engine, item, rankings[item.case.family], settings))
    decided = [Decision(**d) for chunk in [*found, *scores] for d in chunk["decisions"]]
    competence(
        run, decided, settings.competence_threshold, seed=settings.seed, draws=settings.bootstrap_draws
    )
    on_grid = [item.case for item in first[: settings.grid_cases]]
    dosed = [item for i, item in enumerate(scored) if i % settings.instances < settings.dose_instances]
    summarise(
        run,
        settings,
        ([item.case for item in ranked], found),
        ([item.case for item in scored], scores),
        (on_grid, each("grid", on_grid, lambda case: grid(engine, case, settings))),
        ([item.case for item in dosed], each("dose", dosed, lambda item: doses(engine, item, settings))),
        (thinkers, each("chain", thinkers, lambda case: think(engine, case, settings))),
    )


main = entry("patching", PatchingSettings)(patching)

if __name__ == "__main__":
    main()
