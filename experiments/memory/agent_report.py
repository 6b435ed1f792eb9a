"""What conversations of many turns come to: success, agreement, and time to first token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.memory.agents import ARMS, FULL, SPLICED, AgentRun, ArmTurn
from experiments.memory.cells import Cell
from experiments.memory.reading import Asked
from experiments.memory.settings import MemorySettings
from experiments.memory.tables import AGENT, AgentLine, TurnLine
from pkv_interp.records.tables import interval
from pkv_interp.run.report import NOT_NEGATIVE, SHARE, Headline
from pkv_interp.run.scoring import Scoring
from pkv_interp.stats import Estimate, ratio_of_means


@dataclass(frozen=True)
class Agents:
    """Headlines, tables and the questions as a cell."""

    headlines: list[Headline]
    lines: list[AgentLine]
    turns: list[TurnLine]
    cell: Cell


def asked_in(run: AgentRun, relevant: int) -> list[Asked]:
    """The questions of a conversation, as those of the other parts are kept."""
    return [
        Asked("turns", relevant, turn.gold, {arm: turn.arms[arm].reading for arm in ARMS}, turn.values)
        for turn in run.turns
        if turn.gold is not None
    ]


def agents(runs: Sequence[AgentRun], scoring: Scoring[MemorySettings]) -> Agents:
    """Success by arm, agreement of the spliced arm with the prefill, and how much faster each arm is.

    Args:
        runs: all conversations.
        scoring: threshold and resampling.
    """
    relevant = scoring.settings.agent_relevant
    pairs = [(run.persona, one) for run in runs for one in asked_in(run, relevant)]
    cell = Cell(
        AGENT,
        "turns",
        relevant,
        runs[0].size,
        tuple(name for name, _ in pairs),
        tuple(one for _, one in pairs),
        scoring.settings.competence_threshold,
        not scoring.random_weights,
        scoring.resampling,
    )
    seconds = {arm: _sums(runs, arm, lambda turn: turn.seconds) for arm in ARMS}
    tokens = {arm: _sums(runs, arm, lambda turn: turn.tokens) for arm in ARMS}
    names = [run.persona for run in runs]
    faster = {
        arm: ratio_of_means(seconds[FULL][:, -1], seconds[arm][:, -1], names, **scoring.resampling)
        for arm in ARMS
    }
    headlines = [
        Headline(
            "agent_ttft_ratio",
            faster[SPLICED],
            "time to first token, prefilled over spliced",
            needs_gate=False,
            bounds=NOT_NEGATIVE,
        )
    ]
    if cell.passed:
        success = cell.share(cell.right(SPLICED))
        headlines.insert(0, Headline("agent_success", success, "decisions right, spliced", bounds=SHARE))
    return Agents(
        headlines,
        [_line(arm, runs, cell, faster[arm], seconds[arm], tokens[arm]) for arm in ARMS],
        [
            TurnLine(arm, turn + 1, float(seconds[arm][:, turn].mean()), float(tokens[arm][:, turn].mean()))
            for arm in ARMS
            for turn in range(seconds[arm].shape[1])
        ],
        cell,
    )


def _line(
    arm: str, runs: Sequence[AgentRun], cell: Cell, faster: Estimate, seconds: np.ndarray, tokens: np.ndarray
) -> AgentLine:
    apart = [turn.arms[arm].reading.apart for run in runs for turn in run.turns]
    near = [one for one in apart if one is not None]
    success = cell.share(cell.right(arm))
    columns: dict[str, Any] = {
        **interval("success", success),
        **interval("agreement", cell.agreement(arm)),
        **interval("times_faster", faster),
    }
    return AgentLine(
        arm=arm,
        **columns,
        top1=float(np.mean([one.top1 for one in near])) if near else None,
        centred_cosine=float(np.mean([one.centred_cosine for one in near])) if near else None,
        seconds=float(seconds[:, -1].mean()),
        tokens=float(tokens[:, -1].mean()),
        competent=cell.passed,
        n=len(cell.asked),
        n_families=success.n_families,
    )


def _sums(runs: Sequence[AgentRun], arm: str, quantity: Callable[[ArmTurn], float]) -> np.ndarray:
    """A quantity of an arm summed up to each turn, [conversations, turns]."""
    found: list[list[float]] = [[float(quantity(turn.arms[arm])) for turn in run.turns] for run in runs]
    return np.cumsum(np.array(found), axis=1)
