"""Conflicts, hops, decodability and paths in the record: tables and rows by model."""

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.programmable.closing import ClosedMargins
from experiments.programmable.conflict import ConflictMargins
from experiments.programmable.decoding import PATTERNS, PLACES
from experiments.programmable.hops import HOPS, PLAIN
from experiments.programmable.inside import Inside
from experiments.programmable.measure import Measured
from experiments.programmable.settings import ProgrammableSettings
from experiments.programmable.tables import (
    ConflictLine,
    CrossingLine,
    DecodableLine,
    HopLine,
    LookLine,
    PathLine,
)
from pkv_interp.records.schema import Row
from pkv_interp.records.tables import TableRow, interval
from pkv_interp.run.scoring import Scoring, row_of
from pkv_interp.stats import mean, ratio_of_means
from pkv_interp.stats.crossing import first_crossing
from pkv_interp.tasks import Case

Section = tuple[list[TableRow], list[Row]]
_Scoring = Scoring[ProgrammableSettings]


def inside_lines(found: Measured, scoring: _Scoring) -> Section:
    """All of it, model by model."""
    insides = {role: mine.inside for role, mine in found.roles.items()}
    parts = [
        *(_conflict(role, None, mine.conflict, found.pairs, scoring) for role, mine in insides.items()),
        *(
            _conflict(name, at, mine, found.pairs, scoring)
            for at, (name, mine) in enumerate(found.doses.items(), 1)
        ),
        *(_hops(role, mine, found.hops, scoring) for role, mine in insides.items()),
        *((_decodable(role, mine, scoring), []) for role, mine in insides.items()),
        *(_paths(role, mine.closed, found.closed, scoring) for role, mine in insides.items()),
    ]
    return [line for lines, _ in parts for line in lines], [row for _, rows in parts for row in rows]


def _conflict(
    model: str, dose: int | None, found: Sequence[ConflictMargins], pairs: Sequence[Case], scoring: _Scoring
) -> Section:
    scorer = scoring.on(pairs, found)
    strengths = scoring.settings.mixing
    mixed = np.array([one.mixed for one in found])
    lines: list[TableRow] = []
    for at, strength in enumerate(strengths):
        recovered = scorer.arm(f"{model}/conflict@{strength:g}", mixed[:, at])
        follows = scorer.share(mixed[:, at] < 0)
        lines.append(
            ConflictLine.of(
                follows, model=model, dose=dose, strength=strength, recovery=float(recovered.value)
            )
        )
    crossing = first_crossing((mixed > 0).astype(float), strengths, scorer.families, 0.5, **scorer.resampling)
    right = [one.clean > 0 > one.corrupt for one in found]
    lines.append(
        CrossingLine(model=model, right=float(np.mean(right)), n=len(found), **interval("strength", crossing))
    )
    return lines, scorer.rows


def _hops(role: str, mine: Inside, cases: Sequence[Case], scoring: _Scoring) -> Section:
    lines: list[TableRow] = []
    rows: list[Row] = []
    for template, hops in HOPS.items():
        told = [(case, one) for case, one in zip(cases, mine.hops, strict=True) if case.wording == template]
        families = [case.family for case, _ in told for _ in range(2)]
        plain = _right([one.margins[PLAIN] for _, one in told])
        for arm in told[0][1].margins:
            right = _right([one.margins[arm] for _, one in told])
            lines.append(
                HopLine.of(
                    mean(right, families, bounds=(0.0, 1.0), **scoring.resampling),
                    role=role,
                    arm=arm,
                    hops=hops,
                    template=template,
                    kept=float(right[plain > 0].mean()) if plain.any() else None,
                )
            )
        rows += [
            row_of(
                case,
                f"{role}/{template}/{arm}",
                clean=one.margins[PLAIN][0],
                corrupt=one.margins[PLAIN][1],
                patched=clean,
                extra={"corrupt_patched": corrupt, "hops": hops},
            )
            for case, one in told
            for arm, (clean, corrupt) in one.margins.items()
        ]
    return lines, rows


def _right(margins: Sequence[tuple[float, float]]) -> np.ndarray:
    """Right decisions of both prompts of each pair, one after the other."""
    return np.array([right for clean, corrupt in margins for right in (clean > 0, corrupt < 0)], float)


def _decodable(role: str, mine: Inside, scoring: _Scoring) -> list[TableRow]:
    found = mine.decodable
    return [
        DecodableLine.of(
            mean(found.right[p, at, layer], found.families, bounds=(0.0, 1.0), **scoring.resampling),
            role=role,
            pattern=pattern,
            place=place,
            layer=entry,
            shuffled=float(found.shuffled[p, at, layer].mean()),
        )
        for p, pattern in enumerate(PATTERNS)
        for at, place in enumerate(PLACES)
        for layer, entry in enumerate(found.layers)
    ]


def _paths(role: str, found: Sequence[ClosedMargins], cases: Sequence[Case], scoring: _Scoring) -> Section:
    scorer = scoring.on(cases, found)
    lines: list[TableRow] = []
    for path in [path for path in found[0].closed if all(path in one.closed for one in found)]:
        clean, corrupt = np.array([one.closed[path] for one in found]).T
        scorer.arm(f"{role}/closed/{path}", clean, corrupt_patched=corrupt)
        left = ratio_of_means(clean - corrupt, scorer.gap, scorer.families, **scorer.resampling)
        rates: Mapping[str, float] = {
            "clean_right": float((clean > 0).mean()),
            "corrupt_right": float((corrupt < 0).mean()),
        }
        lines.append(PathLine.of(left, role=role, path=path, **rates))
    for on in found[0].attention:
        lines.append(LookLine.of(scorer.share([one.attention[on] for one in found]), role=role, on=on))
    return lines, scorer.rows
