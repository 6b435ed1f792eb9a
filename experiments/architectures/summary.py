"""From what the experiment on architectures measured to its report."""

from collections.abc import Sequence

from experiments.architectures.arms import EDITED, SceneArms
from experiments.architectures.measure import Measured, ModelArms
from experiments.architectures.settings import ArchitecturesSettings
from experiments.architectures.support import support_lines
from experiments.architectures.tables import ArmLine, OperationLine
from pkv_interp.measure.competence import Decision
from pkv_interp.records.schema import Row
from pkv_interp.records.tables import TableRow
from pkv_interp.run.report import NOT_NEGATIVE, SHARE, Headline, Report
from pkv_interp.run.scoring import Scoring
from pkv_interp.stats import Estimate
from pkv_interp.stats.intervals import by_family

#: Arms whose recovery is told; that of the full prompt is what a trial is chosen by.
TOLD = ("erratum", "hoisted")
_LEVEL = 0.95


def summarise(found: Measured, scoring: Scoring[ArchitecturesSettings]) -> Report:
    """Estimates, tables and rows of a run."""
    tables: list[TableRow] = [arm_line(model, arm) for model in found.models for arm in TOLD]
    rows = [row for model in found.models for row in _rows(model, several=len(found.models) > 1)]
    if scoring.settings.is_table:
        lines, reasons = support_lines(found.models)
        tables += [*lines, *reasons, *_operations(found.models)]
        return Report(headlines=_counts(found.models), tables=tables, rows=rows)
    (model,) = found.models
    gate = scoring.gate(decisions_of(model.scenes), scoring.settings.competence_threshold)
    return Report(
        gate=gate.competence,
        headlines=[gate.headline, *_recoveries(model)],
        tables=[gate.table, *tables],
        rows=rows,
    )


def decisions_of(scenes: Sequence[SceneArms]) -> list[Decision]:
    """What the whole prompt decides on either value, for the competence gate."""
    return [
        Decision(
            one.family,
            one.instance,
            one.matches == is_new,
            towards,
            towards > 0,
            one.arms[arm].top and towards > 0,
        )
        for one in scenes
        for is_new, arm in ((False, "stale"), (True, "full"))
        for towards in ((1.0 if is_new else -1.0) * one.arms[arm].margin,)
    ]


def arm_line(model: ModelArms, arm: str) -> ArmLine:
    """Recovery of one arm on one model, over the edits that can tell.

    Both directions of an edit have the same prompts, so that the edits of a family count as one trial.
    """
    trials = [scene for scene in model.scenes if scene.discriminates]
    picked = sum(scene.arms[arm].margin > 0 for scene in trials)
    families = len({scene.family for scene in trials})
    low, high = by_family(picked / len(trials), families, _LEVEL) if trials else (None, None)
    n = len(model.scenes)
    return ArmLine(
        model=model.name,
        arm=arm,
        recovery=picked / len(trials) if trials else None,
        recovery_ci_low=low,
        recovery_ci_high=high,
        picked=picked,
        discriminating=len(trials),
        edits=n,
        full_picks_new=sum(scene.arms["full"].margin > 0 for scene in model.scenes) / n,
        stale_picks_old=sum(scene.arms["stale"].margin < 0 for scene in model.scenes) / n,
    )


def _recoveries(model: ModelArms) -> list[Headline]:
    """Recovery of each arm; of a model without an edit that can tell there is none."""
    made = []
    for arm in TOLD:
        line = arm_line(model, arm)
        if line.recovery is None:
            continue
        trials = [scene for scene in model.scenes if scene.discriminates]
        families = len({scene.family for scene in trials})
        estimate = Estimate(
            value=line.recovery,
            ci_low=line.recovery_ci_low if families > 1 else None,
            ci_high=line.recovery_ci_high if families > 1 else None,
            n_families=families,
            n_instances=len(trials),
        )
        what = f"new action with the {arm} prompt, where full and stale differ"
        made.append(Headline(f"recovery_{arm}", estimate, what, bounds=SHARE))
    return made


def _counts(models: Sequence[ModelArms]) -> list[Headline]:
    """How many operations are served and how many refused: a count over a fixed table has no interval."""
    tried = [one for model in models for one in model.tried]
    counts = {
        "supported": (
            sum(one.exact for one in tried),
            "operations exact against a re-encode, all architectures",
        ),
        "refused": (sum(one.reason is not None for one in tried), "operations refused with their reason"),
    }
    return [
        Headline(
            name,
            Estimate(value=float(count), n_families=1, n_instances=len(tried)),
            what,
            needs_gate=False,
            bounds=NOT_NEGATIVE,
        )
        for name, (count, what) in counts.items()
    ]


def _operations(models: Sequence[ModelArms]) -> list[OperationLine]:
    return [
        OperationLine(model.name, one.operation, one.error, one.reason)
        for model in models
        for one in model.tried
    ]


def _rows(model: ModelArms, *, several: bool) -> list[Row]:
    return [
        Row(
            family=scene.family,
            split=scene.split,
            instance=f"{model.name}/{scene.instance}" if several else scene.instance,
            wording=scene.wording,
            arm=arm,
            clean=scene.arms["full"].margin,
            corrupt=scene.arms["stale"].margin,
            patched=scene.arms[arm].margin,
            extra={
                "matches": scene.matches,
                "discriminates": scene.discriminates,
                "top": scene.arms[arm].top,
                "model": model.name,
            },
        )
        for scene in model.scenes
        for arm in EDITED
    ]
