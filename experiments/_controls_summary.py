"""From measured margins to the controls experiment's rows, tables and headline."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._controls_cases import HEADLINE_K, Item, Plan
from experiments._controls_checks import Claim, equivalences, floors
from experiments._controls_edits import Features, Residuals
from experiments._controls_features import directions, edit_arm, sparse
from experiments._controls_timing import timing
from experiments._scores import Scorer, named, point, stack
from experiments._setup import TOLERANCE
from pkv_interp.records import Run
from pkv_interp.stats import mean
from pkv_interp.tasks import Case
from pkv_interp.tasks.off_template import TEMPLATES

if TYPE_CHECKING:
    from experiments._controls_measures import Chunk
    from experiments.controls import ControlsSettings

#: Templates whose field-only recovery is a headline figure.
HEADLINE_TEMPLATES = ("multi_hop", "lookup")
DONORS = ("same", "same_other_values", "other")


@dataclass(frozen=True, eq=False)
class Measured:
    """All that was measured.

    Attributes:
        ranked: chunks of the discovery items; ``scores``: of the held-out ones.
        templates, outside: off-template cases and their chunks.
        tested: recovery of the difference of means on discovery families by layer.
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
        *_specificity(run, field, settings, found.scores),
        *_injection(run, field, settings, found.scores),
    ]
    _sites(run, polarity, found)
    timing(run, polarity, settings, found.known, found.probes, found.scores)
    claims += _scrubbing(run, polarity, found.scores)
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


def _specificity(
    run: Run, held: Scorer, settings: "ControlsSettings", chunks: Sequence["Chunk"]
) -> list[Claim]:
    """Top-k note positions, ranked on discovery families, against matched random ones; field pairs."""
    top = stack(chunks, "field", "injection", "to_clean")[:, 1:]
    random = stack(chunks, "field", "random").mean(-1)
    lines = []
    for i, k in enumerate(settings.sizes):
        for arm, values in (("top", top[:, i]), ("random", random[:, i])):
            keep = k == HEADLINE_K
            found = held.arm(f"{arm}{k}", values) if keep else held.recovery(values)
            if keep:
                run.headline[f"{arm}{k}"] = found
            lines.append(point(found, arm=arm, k=k))
    run.tables["specificity"] = lines
    at = settings.sizes.index(HEADLINE_K)
    full = stack(chunks, "field", "states", "full_patch")
    wide = "same_conclusion_field_all"
    return [
        Claim("0", f"random{HEADLINE_K}", random[:, at] - held.corrupt, held, wide),
        Claim("1", f"top{HEADLINE_K}", top[:, at] - full, held, wide),
    ]


def _injection(
    run: Run, held: Scorer, settings: "ControlsSettings", chunks: Sequence["Chunk"]
) -> list[Claim]:
    """False notes against the live field, both ways; ``follows``: the decision is the notes' one."""
    to_clean, to_corrupt = (stack(chunks, "field", "injection", way) for way in ("to_clean", "to_corrupt"))
    moved = ((to_clean - held.corrupt[:, None]) + (held.clean[:, None] - to_corrupt)) / 2
    follows = ((to_clean > 0).astype(float) + (to_corrupt < 0)) / 2
    for way, values in (("to_clean", to_clean), ("to_corrupt", to_corrupt)):
        held.arm(f"injection_{way}", values[:, 0])
    estimates = held.ratios(moved)
    run.headline["injection"] = estimates[0]
    run.tables["injection"] = [
        point(
            estimate,
            positions=name,
            **named("follows", mean(follows[:, i], held.families, bounds=(0.0, 1.0), **held.options)),
        )
        for i, (name, estimate) in enumerate(
            zip(["all notes", *(f"top{k}" for k in settings.sizes)], estimates, strict=True)
        )
    ]
    return [Claim("1", "injection", moved[:, 0] - held.gap, held, "same_conclusion_field_all")]


def _sites(run: Run, held: Scorer, found: Measured) -> None:
    """The aggregators one by one on held-out families, with max-T over all of them."""
    values = stack(found.scores, "polarity", "sites")
    tested = zip(found.plan.labels, held.recoveries(values), held.adjusted(values), strict=True)
    run.tables["aggregators"] = [
        point(estimate, label=label, discovery=found.plan.notes[label], p_adjusted=p)
        for label, estimate, p in tested
    ]


def scrubbed(held: Scorer, chunks: Sequence["Chunk"], donor: str, where: str) -> np.ndarray:
    """Shift towards the other conclusion, [cases, sides] in logits: of the clean and of the corrupt side."""
    clean = held.clean - stack(chunks, "polarity", "scrub", "clean", donor, where)
    corrupt = stack(chunks, "polarity", "scrub", "corrupt", donor, where) - held.corrupt
    return np.stack([clean, corrupt], axis=1)


def _scrubbing(run: Run, held: Scorer, chunks: Sequence["Chunk"]) -> list[Claim]:
    """What resampling moves: towards the other conclusion, and how far whichever way (``drift``)."""
    lines = []
    shifts: dict[tuple[str, str], np.ndarray] = {}
    for donor in DONORS:
        for where in ("note", "rest", "all"):
            sides = scrubbed(held, chunks, donor, where)
            shifts[donor, where] = sides.mean(1)
            estimate, drift = held.ratios(np.stack([sides.mean(1), np.abs(sides).mean(1)], axis=1))
            lines.append(point(estimate, donor=donor, resampled=where, **named("drift", drift)))
            headline = {("other", "note"): "scrub_note", ("other", "rest"): "scrub_rest"}.get((donor, where))
            if (donor, where) == ("same", "all"):
                headline, estimate = "scrub_same", drift
            if headline is not None:
                run.headline[headline] = estimate
                for side in ("clean", "corrupt"):
                    held.arm(f"{headline}_{side}", stack(chunks, "polarity", "scrub", side, donor, where))
    run.tables["scrubbing"] = lines
    floor = "same_conclusion_trigger_all"
    return [
        Claim("0", "scrub_same", shifts["same", "all"], held, floor),
        Claim("0", "scrub_same, other values, note", shifts["same_other_values", "note"], held, floor),
        Claim("0", "scrub_rest", shifts["other", "rest"], held, floor),
        Claim("1", "scrub_note", shifts["other", "note"] - held.gap, held, floor),
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
