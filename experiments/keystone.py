"""Can notes be edited after they were moved? A field inside a transplanted chunk, edited by every method.

The chunk holds the field and the rule that reads it; it is precompiled alone, turned and spliced. Each edit
is made on that cache (composed) and on a full prefill of the same text (recomputed); methods that prefill a
text anew are measured on the latter only. Then the blocks are cut into chunks in three ways, to see what is
lost when facts that refer to one another are precompiled apart. Source of the questions: arXiv 2606.17107,
editing inside transplants.
"""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import NonNegativeInt, PositiveInt
from rich.console import Console
from rich.progress import track

from experiments._cli import Settings, entry
from experiments._editing_cases import Item, build_items, chosen_families, style_of
from experiments._editing_sweep import attend, learn, positions_agree, ranking_cases
from experiments._fields import Draws, Erratum, Methods, SeveralFamilies
from experiments._keystone_measures import check, cuts, edits
from experiments._keystone_summary import decisions_of, summarise
from experiments._setup import TOLERANCE, TURNED, competence, run_once, set_floor
from pkv_interp.engine import Engine
from pkv_interp.records import Run, RunRecord


class KeystoneSettings(Settings):
    """Settings of this experiment; configs/keystone.yaml says what each means."""

    families: SeveralFamilies
    instances: PositiveInt
    n_fillers: NonNegativeInt
    chat: bool
    methods: Methods
    rank_instances: PositiveInt
    erratum: Erratum
    competence_threshold: float
    bootstrap_draws: Draws


def keystone(settings: KeystoneSettings) -> RunRecord:
    """Run the experiment, or return the record of an identical finished run."""
    return run_once("keystone", settings, lambda run, engine: measure(settings, run, engine))


def measure(settings: KeystoneSettings, run: Run, engine: Engine) -> None:
    """The experiment itself: controls, edits on both caches, cuts, summary."""
    loaded, style = engine.loaded, style_of(settings, settings.n_fillers)  # the field before the rule
    items = build_items(settings, loaded.tokenizer, [style])
    found = run.chunk("controls", lambda: [check(loaded, item) for item in (items[0], items[-1])])
    logits = TOLERANCE[loaded.info.dtype][1]
    for name, control in (("own_position", "splice_at_own_position"), ("noise", "extend_equals_prefill")):
        worst = max(one[name] for one in found)
        run.control(control, worst, 0.0, logits, f"logits, {len(found)} edits on both values")
    turned = max(one["turned"] for one in found)
    told = "first layer's keys of a composed context against a prefill's, as a share"
    run.control("turned_keys", turned, 0.0, TURNED[loaded.info.dtype], told)
    set_floor(run, max(max(one["own_position"], one["noise"]) for one in found))

    def each(what: str, chosen: Sequence[Item], work: Callable[[Item], Any]) -> list[Any]:
        shown = track(chosen, description=what, console=Console(stderr=True))
        return [run.chunk(f"{what}/{item.name}", lambda item=item: work(item)) for item in shown]

    ranked: dict[str, Any] = {}
    for at, family in enumerate(chosen_families(settings)):
        cases = ranking_cases(settings, at, family, style, loaded.tokenizer)
        attention = [
            run.chunk(f"ranking/{case.instance}", lambda case=case: attend(engine, case)) for case in cases
        ]
        ranked[family.name] = learn(cases, attention, ["attention"])
    edited = each("edits", items, lambda item: edits(loaded, item, settings, ranked[item.task.family]))
    positions_agree(run, edited)
    cut = each("cuts", items[::2], lambda item: cuts(loaded, item))
    competence(
        run,
        decisions_of(items, edited),
        settings.competence_threshold,
        seed=settings.seed,
        draws=settings.bootstrap_draws,
    )
    summarise(run, settings, items, edited, cut)


main = entry("keystone", KeystoneSettings)(keystone)

if __name__ == "__main__":
    main()
