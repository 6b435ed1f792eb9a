"""Cache states in the record: inside the template, outside it, and aggregators one by one."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from experiments.controls.measure import Measured
from experiments.controls.outside import TemplateStates
from experiments.controls.parts import FIELD_ALL, TRIGGER_ALL, Part, over_right_pairs
from experiments.controls.ranking import PairSites
from experiments.controls.scores import PolarityScores
from experiments.controls.settings import ControlsSettings
from experiments.controls.tables import Aggregator, States, TemplateState
from pkv_interp.records.run import control
from pkv_interp.records.schema import Row
from pkv_interp.records.tables import TableRow
from pkv_interp.run.claims import Claim
from pkv_interp.run.report import Headline
from pkv_interp.run.scoring import Scorer, Scoring
from pkv_interp.run.stage import Stage, stacked
from pkv_interp.tasks.off_template import TEMPLATES

_STATES = {"trigger_only": "KV of the flipped trigger alone", "notes_only": "KV after the trigger alone"}
#: Templates whose field-only recovery is a headline figure, and what it is. Two hops are not among them: the
#: gate had no lesson in them, so they stand in the table alone, beside how often they are right.
_HEADLINE_TEMPLATES = {"lookup": "field alone, where the answer is the field's value"}


def dissociation(
    measured: Stage[PairSites | PolarityScores], scorer: Scorer, scoring: Scoring[ControlsSettings]
) -> Part:
    """Recovery by cache state over both splits, and the identity that both states together are the whole."""
    sides = measured.of(scorer.cases)
    estimates = {arm: scorer.arm(arm, stacked(sides, lambda s, arm=arm: s.states[arm])) for arm in _STATES}
    missed = np.abs(stacked(sides, lambda s: s.states["full_patch"]) - scorer.clean)
    whole = control(
        "trigger_and_notes",
        float(missed.max()),
        0.0,
        scoring.floor,
        f"logits, trigger and notes together against the clean prompt, {len(sides)} cases",
    )
    return Part(
        [Headline(arm, estimate, _STATES[arm]) for arm, estimate in estimates.items()],
        [States.of(estimate, arm=arm) for arm, estimate in estimates.items()],
        [],
        [whole],
    )


def dissociation_claims(scores: Sequence[PolarityScores], held: Scorer) -> list[Claim]:
    """On held-out families: the trigger alone does nothing, the notes alone do all."""
    trigger, notes, full = (
        stacked(scores, lambda s, arm=arm: s.states[arm])
        for arm in ("trigger_only", "notes_only", "full_patch")
    )
    return [
        Claim("0", "trigger_only", trigger - held.corrupt, held, "same_conclusion_trigger"),
        Claim("1", "notes_only", notes - full, held, TRIGGER_ALL),
    ]


def aggregators(found: Measured, held: Scorer) -> list[Aggregator]:
    """The aggregators one by one on held-out families, with max-T over all of them."""
    values = stacked(found.scores.of(found.cases.held_out), lambda s: s.polarity.sites)
    tested = zip(found.plan.labels, held.recoveries(values), held.adjusted(values), strict=True)
    return [
        Aggregator.of(estimate, label=label, discovery=found.plan.notes[label], p_adjusted=p)
        for label, estimate, p in tested
    ]


def templates(found: Measured, scoring: Scoring[ControlsSettings]) -> tuple[Part, list[Row]]:
    """Cache states outside the template; a figure counts where the model does that task."""
    parts: list[Part] = []
    rows: list[Row] = []
    for template in TEMPLATES:
        cases = [case for case in found.cases.templates if case.wording == template]
        outside = found.outside.of(cases)
        right = {"match": _right(outside, True), "mismatch": _right(outside, False)}
        competent = min(right.values()) >= scoring.settings.competence_threshold
        scorer = scoring.on(cases, outside)
        parts.append(over_right_pairs(partial(_template, found, template, right, competent), scorer))
        rows += scorer.rows
    return Part(
        [headline for part in parts for headline in part.headlines],
        [line for part in parts for line in part.tables],
        [claim for part in parts for claim in part.claims],
        [],
    ), rows


def _template(
    found: Measured, template: str, right: Mapping[str, float], competent: bool, scorer: Scorer
) -> Part:
    outside = found.outside.of(scorer.cases)
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    for arm in ("field_only", "notes_only", "full_patch"):
        estimate = scorer.arm(f"{template}_{arm}", stacked(outside, lambda s, arm=arm: s.states[arm]))
        lines.append(TemplateState.of(estimate, template=template, arm=arm, competent=competent, **right))
        if arm == "field_only" and template in _HEADLINE_TEMPLATES and competent:
            headlines.append(Headline(f"{template}_field_only", estimate, _HEADLINE_TEMPLATES[template]))
    moved = stacked(outside, lambda s: s.states["field_only"]) - scorer.corrupt
    claim = Claim("0", f"{template}_field_only", moved, scorer, FIELD_ALL)
    # Where the field is the answer a copy of it may count.
    return Part(headlines, lines, [] if template == "lookup" else [claim], [])


def _right(outside: Sequence[TemplateStates], match: bool) -> float:
    """How often the model is right on one side of a template."""
    return float(np.mean([d.right for one in outside for d in one.decisions if d.gold_is_match == match]))
