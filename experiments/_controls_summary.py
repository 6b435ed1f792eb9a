"""From measured margins to the controls experiment's rows, tables and headline."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._claims import Claim, equivalences
from experiments._controls_cases import Item, Plan
from experiments._controls_checks import floors
from experiments._controls_edits import Features, Residuals
from experiments._controls_features import directions, edit_arm, sparse
from experiments._controls_notes import injection, scrubbing, specificity
from experiments._controls_timing import timing
from experiments._scores import Scorer, point, stack
from experiments._setup import TOLERANCE
from pkv_interp.records import Run
from pkv_interp.tasks import Case
from pkv_interp.tasks.off_template import TEMPLATES

if TYPE_CHECKING:
    from experiments._controls_measures import Chunk
    from experiments.controls import ControlsSettings

#: Templates whose field-only recovery is a headline figure.
HEADLINE_TEMPLATES = ("multi_hop", "lookup")


@dataclass(frozen=True, eq=False)
class Measured:
    """All that was measured.

    Attributes:
        ranked: chunks of the discovery items; ``scores``: of the held-out ones.
        templates, outside: off-template cases and their chunks.
        tested: recovery of the whole difference at the aggregators on discovery families, by layer.
        chosen, edits: which held-out items were edited, and their chunks.
    """

    items: dict[str, list[Item]]
    ranked: Sequence["Chunk"]
    scores: Sequence["Chunk"]
    templates: Sequence[Case]
    outside: Sequence["Chunk"]
    plan: Plan
    known: Residuals
    probes: dict[str, Any]
    tested: dict[int, float]
    chosen: Sequence[int]
    edits: Sequence["Chunk"]
    features: Features


def summarise(run: Run, settings: "ControlsSettings", found: Measured) -> None:
    """Fill the record."""

    def scorer(name: str, items: Sequence[Item], chunks: Sequence["Chunk"]) -> Scorer:
        return Scorer(run, [getattr(i.quad, name) for i in items], [c[name] for c in chunks], settings)

    held_items = found.items["held_out"]
    everything = scorer("polarity", [*found.items["discovery"], *held_items], [*found.ranked, *found.scores])
    polarity = scorer("polarity", held_items, found.scores)
    field = scorer("field", held_items, found.scores)
    edited = scorer(
        "polarity", [held_items[i] for i in found.chosen], [found.scores[i] for i in found.chosen]
    )
    floors(run, found.ranked)
    _dissociation(run, everything, [*found.ranked, *found.scores])
    claims = [
        *_dissociation_claims(polarity, found.scores),
        *specificity(run, field, settings, found.scores),
        *injection(run, field, settings, found.scores),
    ]
    _sites(run, polarity, found)
    timing(run, polarity, settings, found.known, found.probes, found.scores)
    claims += scrubbing(run, polarity, found.scores)
    layer = directions(run, edited, found.edits, found.known, found.tested)
    random = edit_arm(found.edits, "into", "add_random") - edited.corrupt
    claims.append(Claim("0", "direction_random", random, edited, "same_conclusion_trigger_all"))
    claims += _templates(run, settings, found)
    sparse(run, edited, settings, found.edits, found.known, found.features, layer)
    equivalences(run, claims)
    if run.competence is not None and not run.competence.passed:
        # What an incompetent model decides is no evidence about notes: keep tables, withhold claims.
        run.headline = {"competence": run.headline["competence"]}


def _dissociation(run: Run, scorer: Scorer, chunks: Sequence["Chunk"]) -> None:
    for arm in ("trigger_only", "notes_only"):
        run.headline[arm] = scorer.arm(arm, stack(chunks, "polarity", "states", arm))
    run.tables["states"] = [point(run.headline[arm], arm=arm) for arm in ("trigger_only", "notes_only")]
    errors = np.abs(stack(chunks, "polarity", "states", "full_patch") - scorer.clean).sum()
    run.control(
        "trigger_and_notes",
        1.0 - float(errors / np.abs(scorer.gap).sum()),
        1.0,
        TOLERANCE[str(run.model["dtype"])][0],
        f"an identity: trigger and notes together, {len(chunks)} cases",
    )


def _dissociation_claims(held: Scorer, chunks: Sequence["Chunk"]) -> list[Claim]:
    states = {
        arm: stack(chunks, "polarity", "states", arm) for arm in ("trigger_only", "notes_only", "full_patch")
    }
    trigger = states["trigger_only"] - held.corrupt
    missed = states["notes_only"] - states["full_patch"]
    return [
        Claim("0", "trigger_only", trigger, held, "same_conclusion_trigger_all"),
        Claim("0", "trigger_only", trigger, held, "same_conclusion_trigger"),
        Claim("1", "notes_only", missed, held, "same_conclusion_trigger_all"),
    ]


def _sites(run: Run, held: Scorer, found: Measured) -> None:
    """The aggregators one by one on held-out families, with max-T over all of them."""
    values = stack(found.scores, "polarity", "sites")
    tested = zip(found.plan.labels, held.recoveries(values), held.adjusted(values), strict=True)
    run.tables["aggregators"] = [
        point(estimate, label=label, discovery=found.plan.notes[label], p_adjusted=p)
        for label, estimate, p in tested
    ]


def _templates(run: Run, settings: "ControlsSettings", found: Measured) -> list[Claim]:
    """Cache states outside the template; a figure counts where the model does that task."""
    claims = []
    run.tables["templates"] = []
    for template in TEMPLATES:
        mine = [i for i, case in enumerate(found.templates) if case.wording == template]
        chunks = [found.outside[i] for i in mine]
        scorer = Scorer(run, [found.templates[i] for i in mine], chunks, settings)
        right = {
            side: float(
                np.mean([d["right"] for c in chunks for d in c["decisions"] if d["gold_is_match"] == on])
            )
            for side, on in (("match", True), ("mismatch", False))
        }
        competent = min(right.values()) >= settings.competence_threshold
        for arm in ("field_only", "notes_only", "full_patch"):
            values = stack(chunks, "states", arm)
            estimate = scorer.arm(f"{template}_{arm}", values)
            run.tables["templates"].append(
                point(estimate, template=template, arm=arm, competent=competent, **right)
            )
            if arm == "field_only" and template in HEADLINE_TEMPLATES and competent:
                run.headline[f"{template}_field_only"] = estimate
        if template != "lookup":  # where the field is the answer a copy of it may count
            moved = stack(chunks, "states", "field_only") - scorer.corrupt
            claims.append(Claim("0", f"{template}_field_only", moved, scorer, "same_conclusion_field_all"))
    return claims
