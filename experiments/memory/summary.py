"""From what was measured to accuracies, agreement, and what may be stated of either."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.memory.agent_report import agents, asked_in
from experiments.memory.blocks import AFTER, BETWEEN, FAR, NEAR, NEEDS_BOTH, blocks_arm
from experiments.memory.cells import Cell, cells, chosen, rows
from experiments.memory.edits import IRRELEVANT, RELEVANT, STALE
from experiments.memory.inside_report import inside
from experiments.memory.measure import Measured
from experiments.memory.reading import FULL, PersonaRun
from experiments.memory.settings import MemorySettings
from experiments.memory.tables import (
    AGENT,
    AMOUNTS,
    BLOCKS,
    EDITS,
    PLACEMENT,
    REFERENCES,
    TRANSPLANT,
    WORDINGS,
    CoverageLine,
    FlipLine,
    ModelLine,
)
from pkv_interp.memory.splices import NO_ROTATION, seam_arm
from pkv_interp.records.tables import TableRow
from pkv_interp.run.report import SHARE, Headline, Report
from pkv_interp.run.scoring import Scoring
from pkv_interp.stats.logistic import gee_logistic

#: Of a splice: where the memory stands after what was said.
_LATE = "late"
_DIFFERENCE = (-1.0, 1.0)
_BLOCKS = "blocks{}_agreement"


def summarise(found: Measured, scoring: Scoring[MemorySettings]) -> Report:
    """Gates, arms, tests and headlines of all parts."""
    parts: dict[str, list[PersonaRun]] = {
        PLACEMENT: found.placement,
        TRANSPLANT: found.transplant,
        EDITS: found.edits,
        BLOCKS: found.blocks,
        REFERENCES: found.references,
        AMOUNTS: found.amounts,
        WORDINGS: found.wordings,
    }
    by_part = {part: cells(part, runs, scoring) for part, runs in parts.items()}
    every = [one for some in by_part.values() for one in some]
    played = agents(found.agents, scoring)
    turns = [
        PersonaRun(run.persona, run.size, 0, asked_in(run, scoring.settings.agent_relevant))
        for run in found.agents
    ]
    first = [one for one in by_part[PLACEMENT] if one.size == scoring.settings.size]
    told = [one for one in first if one.condition == f"{_LATE} {scoring.settings.readout}"]
    gate = scoring.gate(told[0].decisions(), scoring.settings.competence_threshold)
    headlines = [
        *(_competence(one, scoring.settings.read_back) for one in told),
        *_splicing(by_part[TRANSPLANT]),
        *_editing(by_part[EDITS], scoring.settings),
        *_blocks(by_part[BLOCKS], scoring.settings),
        *played.headlines,
        *_split(by_part[REFERENCES]),
    ]
    return Report(
        gate=gate.competence,
        headlines=headlines,
        tables=[
            gate.table,
            *(one.gate_line() for one in (*every, played.cell)),
            *(one.arm_line(arm) for one in every for arm in one.arms),
            *(line for one in every for arm in one.arms if arm != FULL and (line := one.parity(arm))),
            *_tests(by_part),
            *_flips(by_part[EDITS]),
            *_model(by_part[PLACEMENT]),
            *played.lines,
            *played.turns,
            *inside(found.inside, scoring),
            *_could_be_tested(headlines, (*every, played.cell), gate.passed, scoring.settings.blocks[-1]),
        ],
        rows=[row for part, runs in {**parts, AGENT: turns}.items() for row in rows(part, runs)],
    )


def _competence(one: Cell, read_back: bool) -> Headline:
    how = "read back" if read_back else "at once"
    what = f"full prefill right {how}, {_relevant(one)}, {one.size} settings"
    return Headline(
        f"competence_nf{one.relevant}", one.share(one.right()), what, needs_gate=False, bounds=SHARE
    )


def _relevant(one: Cell) -> str:
    return f"{one.relevant} relevant"


def _splicing(some: Sequence[Cell]) -> list[Headline]:
    """Agreement of the splice, and of the one whose keys were not turned."""
    one = chosen(some, _LATE)
    if one is None:
        return []
    told = {
        "transplant_agreement": (seam_arm(0), "splice decides as the full prefill"),
        "no_rotation_agreement": (NO_ROTATION, "the same, keys not turned"),
    }
    return [
        Headline(name, estimate, f"{what}, {_relevant(one)}", bounds=SHARE)
        for name, (arm, what) in told.items()
        if (estimate := one.agreement(arm)) is not None
    ]


def _most_recomputed(methods: Sequence[str]) -> str | None:
    """Of the methods that recompute some tokens, the one that recomputes most."""
    some = [method for method in methods if method.partition("@")[0] == "recompute"]
    return max(some, key=lambda m: float(m.partition("@")[2].replace("all", "inf"))) if some else None


def _editing(some: Sequence[Cell], settings: MemorySettings) -> list[Headline]:
    """Share of decisions that follow the new value, by method, and of those that an idle change turns."""
    made: list[Headline] = []
    one = chosen(some, RELEVANT)
    if one is not None:
        told = {
            "edit_in_place": "in_place",
            "edit_erratum": "erratum",
            "edit_recompute": _most_recomputed(settings.edits),
            "edit_recompile": "recompile",
        }
        made += [
            Headline(name, one.share(one.right(arm)), f"right after {arm}, {_relevant(one)}", bounds=SHARE)
            for name, arm in told.items()
            if arm in one.arms
        ]
    other = chosen(some, IRRELEVANT)
    if other is not None and "in_place" in other.arms:
        flips = other.share(_flipped(other, "in_place"))
        what = f"decisions turned by an irrelevant setting, {_relevant(other)}"
        made.append(Headline("irrelevant_flip", flips, what, bounds=SHARE))
    return made


def _flipped(one: Cell, method: str) -> np.ndarray:
    """Whether a decision is another than before the change."""
    return np.array([q.readings[method].yes != q.readings[STALE].yes for q in one.asked])


def _blocks(some: Sequence[Cell], settings: MemorySettings) -> list[Headline]:
    """Agreement of the most blocks, on questions whose settings stand far apart where there are several."""
    one = chosen(some, FAR) or chosen(some, NEAR)
    most = settings.blocks[-1]
    agreed = None if one is None else one.agreement(blocks_arm(most))
    if one is None or agreed is None:
        return []
    return [Headline(_BLOCKS.format(most), agreed, f"{most} blocks decide as the full prefill", bounds=SHARE)]


def _split(some: Sequence[Cell]) -> list[Headline]:
    """Agreement lost by a cut between a definition and the line that it refers to."""
    one = chosen(some, NEEDS_BOTH)
    if one is None:
        return []
    lost = one.difference(one.agrees(AFTER), one.agrees(BETWEEN), one.right())
    return [Headline("split_penalty", lost, "agreement lost by cutting a reference", bounds=_DIFFERENCE)]


def _tests(by_part: dict[str, list[Cell]]) -> list[TableRow]:
    """Every method against the erratum and against a re-encoding, and both cuts of a reference."""
    made: list[TableRow] = []
    for one in by_part[EDITS]:
        if one.condition == RELEVANT:
            others = [arm for arm in one.arms if arm not in (FULL, STALE)]
            pairs = [(a, b) for i, a in enumerate(others) for b in others[i + 1 :]]
            made += one.tests(pairs, one.right)
    for one in by_part[REFERENCES]:
        # Agreement counts only where the full prefill is right.
        made += one.tests([(AFTER, BETWEEN)], one.agrees, one.right())
    return made


def _flips(some: Sequence[Cell]) -> list[FlipLine]:
    """Of edits alone: the full prefill differs from the stale splice by the splice as well."""
    return [
        FlipLine.of(one.share(_flipped(one, arm)), relevant=one.relevant, method=arm, competent=one.passed)
        for one in some
        if one.condition == IRRELEVANT
        for arm in one.arms
        if arm not in (STALE, FULL)
    ]


def _model(some: Sequence[Cell]) -> list[ModelLine]:
    """Accuracy of the full prefill by placement, relevant settings and size, for each regime."""
    made: list[ModelLine] = []
    for regime in ("direct", "read_back", "reasoned"):
        mine = [one for one in some if one.condition.endswith(regime)]
        if not mine:
            continue
        right = np.concatenate([one.right().astype(float) for one in mine])
        n = [len(one.asked) for one in mine]
        conditions = {
            "late": np.repeat([float(one.condition.startswith(_LATE)) for one in mine], n),
            "relevant": np.repeat([float(one.relevant) for one in mine], n),
            "log2_size": np.repeat([float(np.log2(one.size)) for one in mine], n),
        }
        kept = {name: values for name, values in conditions.items() if len(np.unique(values)) > 1}
        # A persona of another size is another persona.
        fit = gee_logistic(right, kept, [name for one in mine for name in one.personas])
        made += [
            ModelLine(regime, t.name, t.coefficient, t.ci_low, t.ci_high, t.p_value, "", right.size)
            for t in fit.terms
        ] or [ModelLine(regime, "none", None, None, None, None, fit.undefined, right.size)]
    return made


#: What each headline rests on: the part whose full prefill has to be right, and the condition; "" for all.
_RESTS_ON = {
    "transplant_agreement": (TRANSPLANT, _LATE),
    "no_rotation_agreement": (TRANSPLANT, _LATE),
    "edit_in_place": (EDITS, RELEVANT),
    "edit_erratum": (EDITS, RELEVANT),
    "edit_recompute": (EDITS, RELEVANT),
    "edit_recompile": (EDITS, RELEVANT),
    "irrelevant_flip": (EDITS, IRRELEVANT),
    _BLOCKS: (BLOCKS, ""),
    "agent_success": (AGENT, "turns"),
    "split_penalty": (REFERENCES, NEEDS_BOTH),
}


def _could_be_tested(
    headlines: Sequence[Headline], every: Sequence[Cell], gate: bool, blocks: int
) -> list[CoverageLine]:
    """Of each published comparison whether it is stated here, and otherwise what the model missed."""
    stated = {one.name for one in headlines if gate or not one.needs_gate}
    withheld = {one.name for one in headlines} - stated
    lines: list[CoverageLine] = []
    for template, (part, condition) in _RESTS_ON.items():
        name = template.format(blocks)
        if name in stated:
            lines.append(CoverageLine(name, True, ""))
            continue
        if name in withheld:
            lines.append(CoverageLine(name, False, "the record's own gate failed, that of its part did not"))
            continue
        mine = [one for one in every if one.part == part and condition in ("", one.condition)]
        told = "; ".join(
            f"{one.condition}, {_relevant(one)}: yes {one.by_gold(True):.2f}, no {one.by_gold(False):.2f}"
            + (", always alike" if not one.varied else "")
            for one in mine
        )
        lines.append(CoverageLine(name, False, told or "not measured"))
    return lines
