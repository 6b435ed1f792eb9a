"""The editing frontier: what does it take to change a field in a prefilled prompt, and what does it cost?

Every method edits a real cache through the public editing API. Sites are ranked on other instances than those
scored. Source of the questions: arXiv 2606.17107, editing and weight editing; protocol and fixes are in the
README.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator
from rich.console import Console
from rich.progress import track

from experiments._cli import Settings, entry
from experiments._editing_cases import (
    Item,
    alternating,
    build_items,
    chosen_families,
    looked_up,
    matching_case,
    style_of,
)
from experiments._editing_chains import chain, horizon
from experiments._editing_errata import errata, planted
from experiments._editing_frontier import frontier, kinds_of_edit
from experiments._editing_summary import Tally, summarise_frontier
from experiments._editing_sweep import learn, positions_agree, rank, ranking_cases, sweep
from experiments._editing_tables import chains, diagnostic, horizons, sweeps, weight_headline, wordings
from experiments._editing_weights import WeightSettings, weight_edits
from experiments._fields import Draws, Erratum, Methods, SeveralFamilies, rising
from experiments._setup import gather_controls, run_once
from pkv_interp.engine import Engine
from pkv_interp.records import Run, RunRecord
from pkv_interp.tasks import field_case

T = TypeVar("T")


class EditingSettings(Settings):
    """Settings of this experiment; configs/editing.yaml says what each means."""

    families: SeveralFamilies
    instances: PositiveInt
    chat: bool
    methods: Methods
    fillers: tuple[NonNegativeInt, ...]
    both_ways: bool
    places: Annotated[tuple[Literal["early", "late"], ...], Field(min_length=1)]
    erratum: Erratum
    ask_with: tuple[Erratum, ...]
    top_k: tuple[PositiveInt, ...]
    rank_instances: PositiveInt
    random_draws: PositiveInt
    cot: bool
    cot_cases: PositiveInt
    cot_tokens: PositiveInt
    turns: Annotated[int, Field(ge=2)]
    horizon_cases: PositiveInt
    weights: WeightSettings | None
    competence_threshold: float
    bootstrap_draws: Draws

    @field_validator("fillers", "top_k")
    @classmethod
    def _rising(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        return rising(values)


def editing(settings: EditingSettings) -> RunRecord:
    """Run the experiment, or return the record of an identical finished run."""
    return run_once("editing", settings, lambda run, engine: measure(settings, run, engine))


def measure(settings: EditingSettings, run: Run, engine: Engine) -> None:
    """The experiment itself: frontier, sweep, errata, chains, diagnostic, horizon, weights."""
    loaded, tokenizer = engine.loaded, engine.loaded.tokenizer
    chosen = chosen_families(settings)
    floor_cases = [
        field_case(family, 0, tokenizer, seed=settings.seed, style=style_of(settings, settings.fillers[0]))
        for family in (chosen[0], chosen[-1])
    ]
    gather_controls(run, engine, floor_cases)

    def each(what: str, items: Sequence[T], name: Callable[[T], str], work: Callable[[T], Any]) -> list[Any]:
        return [
            run.chunk(f"{what}/{name(one)}", lambda one=one: work(one))
            for one in track(items, description=what, console=Console(stderr=True))
        ]

    def of_items(what: str, items: Sequence[Item], work: Callable[[Item], Any]) -> list[Any]:
        return each(what, items, lambda item: item.name, work)

    styles = [style_of(settings, n, p == "late") for n in settings.fillers for p in settings.places]
    # The direction of the edit goes to and fro over families; at the shortest prompts both may be asked for.
    first, *longer = [build_items(settings, tokenizer, [style]) for style in styles]
    one_way = alternating(settings, first)
    short = first if settings.both_ways else one_way
    items = [*short, *(item for part in longer for item in alternating(settings, part))]
    ranked: dict[str, Any] = {}
    for at, family in enumerate(chosen):
        cases = ranking_cases(settings, at, family, styles[0], tokenizer)
        ranked[family.name] = learn(
            cases, each("ranking", cases, lambda case: case.instance, lambda case: rank(engine, case))
        )
    found = of_items(
        "frontier", items, lambda item: frontier(loaded, item, settings, ranked[item.task.family])
    )
    positions_agree(run, found)
    tally = Tally(run, settings)
    summarise_frontier(tally, items, found)
    swept = of_items(
        "sweep",
        one_way,
        lambda item: sweep(
            engine, item, matching_case(settings, item, tokenizer), ranked[item.task.family], settings
        ),
    )
    sweeps(tally, one_way, swept)

    told = of_items("errata", short, lambda item: errata(loaded, item, settings))
    stated = build_items(settings, tokenizer, styles[:1], planted=True)
    stated = stated if settings.both_ways else alternating(settings, stated)
    against = of_items("planted", stated, lambda item: planted(loaded, item, settings))
    wordings(tally, (short, told), (stated, against))
    asked = {
        wording: of_items(
            f"diagnostic {wording}",
            one_way,
            lambda item, w=wording: kinds_of_edit(loaded, item, looked_up(settings, item, tokenizer), w),
        )
        for wording in dict.fromkeys((settings.erratum, *settings.ask_with))
    }
    diagnostic(tally, one_way, asked)
    if settings.cot:
        reason = style_of(settings, settings.fillers[0], reason=True)
        thinkers = [replace(item, style=reason) for item in one_way][: settings.cot_cases]
        chains(tally, thinkers, of_items("chain", thinkers, lambda item: chain(loaded, item, settings)))
    lasting = one_way[: settings.horizon_cases]
    horizons(tally, lasting, of_items("horizon", lasting, lambda item: horizon(loaded, item, settings)))
    if settings.weights is not None:
        edited = weight_edits(run, loaded, settings, settings.weights, chosen)
        run.headline |= weight_headline(edited)
    if run.competence is not None and not run.competence.passed:
        # What an incompetent model decides is no evidence about edits: keep tables, withhold claims.
        run.headline = {"competence": run.headline["competence"]}


main = entry("editing", EditingSettings)(editing)

if __name__ == "__main__":
    main()
