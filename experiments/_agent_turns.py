"""The turns of the agent experiment's episodes as arrays, and as rows of the record."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pkv_interp.agent import ARMS, Episode
from pkv_interp.agent.arms import FULL
from pkv_interp.records import Run
from pkv_interp.stats import Estimate, mean

if TYPE_CHECKING:
    from experiments.agent import AgentSettings

Chunk = Mapping[str, Any]
#: Turns by what happened to the state: not changed yet, changed right before, changed earlier; and all
#: turns whose value is not the one that the first prompt stated.
PHASES = ("before", "at_change", "after_change", "changed")


class Turns:
    """All turns of all episodes, in one order for every arm."""

    def __init__(
        self, settings: "AgentSettings", episodes: Sequence[Episode], chunks: Sequence[Chunk]
    ) -> None:
        self.chunks = chunks
        self.places = [(one, turn) for one in episodes for turn in range(len(one.turns))]
        self.domains = [one.family.name for one, _ in self.places]
        self.options: dict[str, Any] = {"seed": settings.seed, "draws": settings.bootstrap_draws}
        since = [one.since_change(turn) for one, turn in self.places]
        self.phases = {
            "before": np.array([s is None for s in since]),
            "at_change": np.array([s == 0 for s in since]),
            "after_change": np.array([s is not None and s > 0 for s in since]),
            "changed": np.array([o.turns[t].value != o.turns[0].value for o, t in self.places]),
        }

    def flat(self, arm: str, name: str) -> np.ndarray:
        """One quantity of an arm, [turns of all episodes]."""
        return np.array([value for c in self.chunks for value in c["arms"][arm][name]], float)

    def right(self, arm: str) -> np.ndarray:
        """Whether the tool did what the arm called it for, at the arm's own history."""
        return self.flat(arm, "right")

    def agrees(self, arm: str) -> np.ndarray:
        """Whether the arm decides as the full arm does, at the full arm's history."""
        return (self.flat(arm, "matched_margin") > 0) == (self.flat(FULL.name, "matched_margin") > 0)

    def share(self, values: np.ndarray, where: np.ndarray | None = None) -> Estimate:
        """Share of turns, with its interval over domains."""
        keep = np.ones(len(values), bool) if where is None else where
        return mean(
            values[keep].astype(float),
            [d for d, k in zip(self.domains, keep, strict=True) if k],
            bounds=(0.0, 1.0),
            **self.options,
        )


def write_rows(run: Run, turns: Turns) -> None:
    """One row for each turn of each episode in each arm; margins are towards the right action."""
    full, stale = (turns.flat(arm, "matched_margin") for arm in ("full", "stale"))
    for arm in ARMS:
        mine = {
            name: turns.flat(arm.name, name)
            for name in ("matched_margin", "margin", "tokens", "length", "ms")
        }
        right, agrees = turns.right(arm.name), turns.agrees(arm.name)
        for i, (one, turn) in enumerate(turns.places):
            run.rows.append(
                {
                    "family": one.family.name,
                    "split": "held_out",
                    "instance": f"{one.instance}-{turn + 1}",
                    "wording": one.wording,
                    "arm": arm.name,
                    "clean": float(full[i]),
                    "corrupt": float(stale[i]),
                    "patched": float(mine["matched_margin"][i]),
                    "extra": {
                        "turn": turn + 1,
                        "since_change": one.since_change(turn),
                        "at_trigger": one.turns[turn].value == one.trigger,
                        "success": bool(right[i]),
                        "agrees": bool(agrees[i]),
                        "own_margin": float(mine["margin"][i]),
                        "tokens_run": int(mine["tokens"][i]),
                        "tokens": int(mine["length"][i]),
                        "ttft_ms": float(mine["ms"][i]),
                    },
                }
            )
