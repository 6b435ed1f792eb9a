"""How cache states fare as the field is moved through the prompt."""

from functools import partial

import numpy as np

from experiments.patching.measure import Measured
from experiments.patching.settings import PatchingSettings
from experiments.patching.tables import FieldPlace
from pkv_interp.records.schema import Row
from pkv_interp.records.tables import TableRow
from pkv_interp.run.report import Headline
from pkv_interp.run.right_pairs import Section, with_right_pairs
from pkv_interp.run.scoring import Scorer, Scoring
from pkv_interp.run.stage import stacked
from pkv_interp.tasks.places import Place

_WORDS = {"field_only": "KV of the field alone", "notes_only": "KV after the field alone"}
#: The place of which headlines are: nothing but the question is left to hold notes.
_STATED = "last"


def field_places(found: Measured, scoring: Scoring[PatchingSettings]) -> tuple[Section, list[Row]]:
    """Cache states at every place; nothing where no case has a field that can move."""
    cases = found.cases.dosed
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    rows: list[Row] = []
    for place in scoring.settings.moved if cases else ():
        scorer = scoring.on(cases, [one.at[place] for one in found.places.of(cases)])
        mine = with_right_pairs(partial(_at, found, place), scorer)
        headlines += mine[0]
        lines += mine[1]
        rows += scorer.rows
    return (headlines, lines), rows


def _at(found: Measured, place: Place, scorer: Scorer) -> Section:
    doses = [one.at[place] for one in found.places.of(scorer.cases)]
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    for arm, what in _WORDS.items():
        name = f"{arm}_{place}"
        values = stacked(doses, lambda dose, arm=arm: dose.states[arm])
        distances = {"to_rule": [d.to_rule for d in doses], "to_decision": [d.to_decision for d in doses]}
        estimate = scorer.arm(name, values, **distances)
        if place == _STATED:
            headlines.append(Headline(name, estimate, f"{what}, field right before the question"))
        lines.append(
            FieldPlace.of(
                estimate,
                place=place,
                arm=arm,
                **{name: float(np.mean(tokens)) for name, tokens in distances.items()},
                gap=float(scorer.gap.mean()),
                two_way_right=float(np.mean([*(scorer.clean > 0), *(scorer.corrupt < 0)])),
                decides_new=float((values > 0).mean()),
            )
        )
    return headlines, lines
