"""The turns of all episodes as arrays, and as rows of the record."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float

from experiments.agent.arms import ArmTurns, EpisodeRun
from pkv_interp.agent import ARMS, Episode
from pkv_interp.agent.arms import FULL, STALE
from pkv_interp.measure.competence import Decision
from pkv_interp.records.schema import Row
from pkv_interp.run.scoring import Resampling
from pkv_interp.stats import Estimate, mean

#: Turns by what happened to the state: not changed yet, changed right before, changed earlier; and all
#: turns whose value is not the one that the first prompt stated.
PHASES = ("before", "at_change", "after_change", "changed")


class Turns:
    """All turns of all episodes, in one order for every arm.

    Attributes:
        episodes, runs: of one layout, in one order.
        places: episode and turn (from 0) of each.
        domains: of each.
        phases: which turns belong to each of `PHASES`.
    """

    def __init__(
        self, episodes: Sequence[Episode], runs: Sequence[EpisodeRun], resampling: Resampling
    ) -> None:
        """Lay out the turns of ``episodes``, which ``runs`` are about."""
        self.episodes, self.runs, self.resampling = episodes, runs, resampling
        self.places = [(one, turn) for one in episodes for turn in range(len(one.turns))]
        self.domains = [one.family.name for one, _ in self.places]
        since = [one.since_change(turn) for one, turn in self.places]
        self.phases: dict[str, Bool[np.ndarray, " turns"]] = {
            "before": np.array([s is None for s in since]),
            "at_change": np.array([s == 0 for s in since]),
            "after_change": np.array([s is not None and s > 0 for s in since]),
            "changed": np.array([o.turns[t].value != o.turns[0].value for o, t in self.places]),
        }

    def flat(self, arm: str, quantity: Callable[[ArmTurns], np.ndarray]) -> Float[np.ndarray, " turns"]:
        """One quantity of an arm over the turns of all episodes."""
        return np.concatenate([np.asarray(quantity(run.arms[arm]), float) for run in self.runs])

    def right(self, arm: str) -> Float[np.ndarray, " turns"]:
        """Whether the tool did what the arm called it for, at the arm's own history."""
        return self.flat(arm, lambda turns: turns.right)

    def agrees(self, arm: str) -> Bool[np.ndarray, " turns"]:
        """Whether the arm decides as the full arm does, at the full arm's history."""
        own, full = (self.flat(name, lambda turns: turns.matched_margin) for name in (arm, FULL.name))
        return (own > 0) == (full > 0)

    def share(self, values: np.ndarray, where: Bool[np.ndarray, " turns"] | None = None) -> Estimate:
        """Share of the turns ``where``, with its interval over domains."""
        keep = np.ones(len(values), bool) if where is None else where
        return mean(
            values[keep].astype(float),
            [d for d, k in zip(self.domains, keep, strict=True) if k],
            bounds=(0.0, 1.0),
            **self.resampling,
        )

    def decisions(self) -> list[Decision]:
        """What the full arm decides at each turn."""
        margin = self.flat(FULL.name, lambda turns: turns.margin)
        right = self.right(FULL.name)
        greedy = self.flat(FULL.name, lambda turns: turns.greedy_right)
        return [
            Decision(
                one.family.name,
                f"{one.instance}-{turn}",
                one.turns[turn].value == one.trigger,
                float(margin[i]),
                bool(right[i]),
                bool(greedy[i]),
            )
            for i, (one, turn) in enumerate(self.places)
        ]

    def rows(self) -> list[Row]:
        """One row for each turn of each episode in each arm; margins are towards the right action."""
        return [row for arm in ARMS for row in self._rows_of(arm.name)]

    def _rows_of(self, arm: str) -> list[Row]:
        full, stale, matched = (
            self.flat(name, lambda turns: turns.matched_margin) for name in (FULL.name, STALE.name, arm)
        )
        margin, ms = self.flat(arm, lambda turns: turns.margin), self.flat(arm, lambda turns: turns.ms)
        tokens, length = (
            self.flat(arm, lambda turns: turns.tokens),
            self.flat(arm, lambda turns: turns.length),
        )
        right, agrees = self.right(arm), self.agrees(arm)
        return [
            Row(
                family=one.family.name,
                split="held_out",
                instance=f"{one.instance}-{turn + 1}",
                wording=one.wording,
                arm=arm,
                clean=float(full[i]),
                corrupt=float(stale[i]),
                patched=float(matched[i]),
                extra={
                    "turn": turn + 1,
                    "since_change": one.since_change(turn),
                    "at_trigger": one.turns[turn].value == one.trigger,
                    "success": bool(right[i]),
                    "agrees": bool(agrees[i]),
                    "own_margin": float(margin[i]),
                    "tokens_run": int(tokens[i]),
                    "tokens": int(length[i]),
                    "ttft_ms": float(ms[i]),
                },
            )
            for i, (one, turn) in enumerate(self.places)
        ]
