"""From the patches and edits of one prompt to a report."""

from typing import TypeVar

import numpy as np

from experiments.prompt.measure import Measured, groups_of
from experiments.prompt.settings import PromptSettings
from experiments.prompt.tables import (
    EditLine,
    Group,
    LayerCells,
    LayerHeads,
    PairsOfPositions,
    Prompt,
    SinglePositions,
)
from pkv_interp.errors import PkvError
from pkv_interp.records.tables import TableRow
from pkv_interp.run.report import Headline, Report
from pkv_interp.run.scoring import Scoring
from pkv_interp.run.tokens import token_table

V = TypeVar("V", float, np.ndarray)


def summarise(found: Measured, scoring: Scoring[PromptSettings]) -> Report:
    """Recoveries of one prompt, and what each edit decides.

    Raises:
        PkvError: the two prompts' margins do not differ, so that there is nothing to recover.
    """
    patches, case = found.patches, found.case
    gap = patches.clean - patches.corrupt
    if abs(gap) <= scoring.floor:
        raise PkvError(
            f"the margins of {case.instance} differ by {gap:.2g}, no more than rounding",
            "choose another family or instance",
        )

    def recovered(margin: V) -> V:
        return (margin - patches.corrupt) / gap

    gate = scoring.gate(patches.decisions, scoring.settings.competence_threshold)
    scorer = scoring.on([case], [patches])
    arms = {
        "field_only": (patches.states["field_only"], "KV of the field alone, one prompt"),
        "notes_only": (patches.states["notes_only"], "KV after the field alone, one prompt"),
        "best_position": (float(_towards(patches.singles["KV"], gap)), "best position of this very prompt"),
        "best_two": (float(_towards(patches.pairs, gap)), "best two positions of this very prompt"),
    }
    return Report(
        gate=gate.competence,
        headlines=[
            gate.headline,
            *(Headline(name, scorer.arm(name, [margin]), what) for name, (margin, what) in arms.items()),
        ],
        tables=[
            gate.table,
            _prompt(found),
            *token_table(case, recovered(patches.singles["KV"])),
            *(SinglePositions(part, recovered(one).tolist()) for part, one in patches.singles.items()),
            PairsOfPositions("KV", recovered(patches.pairs).tolist()),
            *(
                Group(name, part, list(positions), recovered(patches.groups[name][part]))
                for name, positions in groups_of(case).items()
                for part in patches.singles
            ),
            *(LayerCells(layer, recovered(row).tolist()) for layer, row in enumerate(patches.cells)),
            *(LayerHeads(layer, recovered(row).tolist()) for layer, row in enumerate(patches.heads)),
            *_edits(found, gap),
        ],
        rows=scorer.rows,
    )


def _towards(margins: np.ndarray, gap: float) -> float:
    """The margin that goes farthest from the corrupt prompt's to the clean one's."""
    return margins.max() if gap > 0 else margins.min()


def _prompt(found: Measured) -> Prompt:
    patches, case = found.patches, found.case
    first, second = case.actions
    return Prompt(
        family=case.family,
        instance=case.instance,
        field=found.field,
        old=found.old.strip(),
        new=found.new.strip(),
        clean=patches.clean,
        corrupt=patches.corrupt,
        clean_action=first.strip(),
        corrupt_action=second.strip(),
        right=all(decision.right for decision in patches.decisions),
        tokens=len(case.clean),
    )


def _edits(found: Measured, gap: float) -> list[TableRow]:
    first, second = (action.strip() for action in found.case.actions)
    full = max(line.tokens for line in found.edits.lines if line.method == "full_reprefill")
    return [
        EditLine(
            method=line.method,
            action=first if line.margin > 0 else second,
            right=line.right,
            margin=line.margin,
            recovery=(line.margin - found.patches.corrupt) / gap,
            kl=line.kl,
            tokens=line.tokens,
            share=line.tokens / full,
        )
        for line in found.edits.lines
    ]
