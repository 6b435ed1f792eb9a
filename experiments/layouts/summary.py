"""From decisions to competence by layout, and the layouts that it chooses."""

from collections.abc import Sequence
from statistics import fmean

from experiments.layouts.measure import Measured
from experiments.layouts.settings import LayoutsSettings
from experiments.layouts.tables import ALL, Choice, FamilyLine, LayoutLine
from pkv_interp.measure.layout_choice import LayoutPair, layout_scores
from pkv_interp.records.schema import Row
from pkv_interp.run.report import SHARE, Headline, Report
from pkv_interp.run.scoring import Resampling, Scoring
from pkv_interp.stats import Estimate, mean
from pkv_interp.tasks.layout_cases import SPLIT

_SHOWN = 40  # characters of a layout's name in a headline


def summarise(found: Measured, scoring: Scoring[LayoutsSettings]) -> Report:
    """Shares by layout, kind and family, and the best layout of all and of either order."""
    pairs = found.pairs.all()
    names = [score.layout for score in layout_scores(pairs)]
    by_layout = {name: [pair for pair in pairs if pair.layout == name] for name in names}
    chosen = _chosen(by_layout)
    settings = scoring.settings
    headlines: list[Headline] = []
    for order, name in chosen.items():
        estimate = _share([one.right for one in by_layout[name]], by_layout[name], scoring.resampling)
        which = "best layout" if order == ALL else f"best with the field {order}"
        key = "best_layout_right" if order == ALL else f"best_{order}_right"
        headlines.append(_headline(key, estimate, f"{which}, both sides right: {name[:_SHOWN]}"))
    best = by_layout[chosen[ALL]]
    top = _share([one.top_right for one in best], best, scoring.resampling)
    headlines.append(_headline("best_layout_top_right", top, "best layout, right among all tokens"))
    rights = {name: fmean(pair.right for pair in mine) for name, mine in by_layout.items()}
    return Report(
        headlines=headlines,
        tables=[
            *(
                Choice(order, name, rights[name], settings.least_right, rights[name] >= settings.least_right)
                for order, name in chosen.items()
            ),
            *(
                _line(mine, kind, scoring.resampling)
                for mine in by_layout.values()
                for kind in (ALL, *settings.kinds)
            ),
            *(line for mine in by_layout.values() for line in _families(mine, settings.kinds)),
        ],
        rows=[_row(pair) for pair in pairs if pair.problem is None],
    )


def _headline(name: str, estimate: Estimate, what: str) -> Headline:
    return Headline(name, estimate, what, needs_gate=False, bounds=SHARE)


def _chosen(by_layout: dict[str, list[LayoutPair]]) -> dict[str, str]:
    """The best layout of all and of each order that was run; layouts come the best one first."""
    chosen: dict[str, str] = {}
    for name, mine in by_layout.items():
        for order in (ALL, mine[0].order):
            chosen.setdefault(order, name)
    return chosen


def _share(right: Sequence[bool], pairs: Sequence[LayoutPair], resampling: Resampling) -> Estimate:
    return mean(right, [pair.family for pair in pairs], bounds=(0.0, 1.0), **resampling)


def _line(pairs: Sequence[LayoutPair], kind: str, resampling: Resampling) -> LayoutLine:
    mine = pairs if kind == ALL else [pair for pair in pairs if pair.kind == kind]
    (score,) = layout_scores(mine)
    return LayoutLine.of(
        _share([pair.right for pair in mine], mine, resampling),
        layout=score.layout,
        order=mine[0].order,
        kind=kind,
        pairs=score.pairs,
        made=score.made,
        top_right=score.top_right,
        families_right=score.families_right,
        margin=score.margin,
    )


def _families(pairs: Sequence[LayoutPair], kinds: Sequence[str]) -> list[FamilyLine]:
    lines = []
    for kind in kinds:
        for family in dict.fromkeys(pair.family for pair in pairs):
            mine = [pair.right for pair in pairs if (pair.kind, pair.family) == (kind, family)]
            lines.append(FamilyLine(pairs[0].layout, kind, family, fmean(mine), len(mine)))
    return lines


def _row(pair: LayoutPair) -> Row:
    """Margins of a pair, each towards the action that the clean prompt calls for."""
    clean, corrupt = pair.margins
    return Row(
        family=pair.family,
        split=SPLIT,
        instance=pair.index,
        wording=pair.kind,
        arm=pair.layout,
        clean=clean,
        corrupt=-corrupt,
        extra={"order": pair.order, "right": pair.right, "top_right": pair.top_right},
    )
