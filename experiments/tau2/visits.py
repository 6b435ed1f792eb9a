"""Visits as arrays, and as rows of the record."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float

from experiments.tau2.turns import ArmTurns, VisitRun
from pkv_interp.agent.arms import FULL
from pkv_interp.agent.tau2.keeping import ARMS, STALE
from pkv_interp.measure.competence import Decision
from pkv_interp.records.schema import Row
from pkv_interp.run.scoring import Resampling
from pkv_interp.stats import Estimate, mean, ratio_of_means


class Visits:
    """All turns of some visits, in one order for every arm; users are the families.

    Attributes:
        runs: the visits.
        places: number of the visit and turn (from 0) of each.
        users: of each turn.
        arms: that were run, in order; a server is not asked all of them.
    """

    def __init__(self, runs: Sequence[VisitRun], resampling: Resampling) -> None:
        """Lay out the turns of ``runs``."""
        self.runs, self.resampling = runs, resampling
        self.places = [(i, t) for i, run in enumerate(runs) for t in range(len(run.about.right))]
        self.users = [runs[i].about.user for i, _ in self.places]
        self.arms = tuple(arm for arm in ARMS if all(arm.name in run.arms for run in runs))

    def flat(self, arm: str, quantity: Callable[[ArmTurns], np.ndarray]) -> Float[np.ndarray, " turns"]:
        """One quantity of an arm over all turns."""
        return np.concatenate([np.asarray(quantity(run.arms[arm]), float) for run in self.runs])

    def right(self, arm: str) -> Float[np.ndarray, " turns"]:
        """Whether the action decided is the right one, whatever the environment makes of it."""
        gold = np.array([self.runs[i].about.right[t] for i, t in self.places])
        return (self.flat(arm, lambda turns: turns.action) == gold).astype(float)

    def success(self, arm: str) -> Float[np.ndarray, " turns"]:
        """Whether the tool took the call and the database is as the right call leaves it."""
        return self.flat(arm, lambda turns: turns.accepted & turns.matches)

    def agrees(self, arm: str) -> Float[np.ndarray, " turns"]:
        """Whether the arm decides as the full one does, each at its own history."""
        one, full = (self.flat(name, lambda turns: turns.action) for name in (arm, FULL.name))
        return (one == full).astype(float)

    def whole(self, arm: str) -> Float[np.ndarray, " visits"]:
        """Whether a visit ends with the database that right calls alone would have left."""
        return np.array([run.arms[arm].whole for run in self.runs], float)

    def share(self, values: np.ndarray, where: Bool[np.ndarray, " turns"] | None = None) -> Estimate:
        """Share of the turns ``where``, with its interval over users."""
        keep = np.ones(len(values), bool) if where is None else where
        users = [user for user, kept in zip(self.users, keep, strict=True) if kept]
        return mean(values[keep].astype(float), users, bounds=(0.0, 1.0), **self.resampling)

    def share_of_visits(self, values: np.ndarray) -> Estimate:
        """Share of the visits, with its interval over users."""
        users = [run.about.user for run in self.runs]
        return mean(values.astype(float), users, bounds=(0.0, 1.0), **self.resampling)

    def ratio(self, arm: str, quantity: Callable[[ArmTurns], float]) -> Estimate:
        """Cost of the full arm over an arm's, of whole visits."""
        full, mine = (np.array([quantity(run.arms[name]) for run in self.runs]) for name in (FULL.name, arm))
        return ratio_of_means(full, mine, [run.about.user for run in self.runs], **self.resampling)

    def decisions(self) -> list[Decision]:
        """What a full prefill decides in both states of each visit's first request."""
        return [one for run in self.runs for one in both_states(run)]

    def rows(self, part: str) -> list[Row]:
        """One row for each turn in each arm; margins are towards the right action."""
        return [row for arm in self.arms for row in self._rows_of(arm.name, part)]

    def _rows_of(self, arm: str, part: str) -> list[Row]:
        out = []
        for i, turn in self.places:
            run, mine = self.runs[i], self.runs[i].arms[arm]
            out.append(
                Row(
                    family=run.about.user,
                    split="held_out",
                    instance=f"{run.about.instance}-{turn + 1}",
                    wording=run.about.topic,
                    arm=arm,
                    clean=float(run.arms[FULL.name].margin[turn]),
                    corrupt=float(run.arms[STALE.name].margin[turn]),
                    patched=float(mine.margin[turn]),
                    extra={
                        "part": part,
                        "domain": run.about.domain,
                        "turn": turn + 1,
                        "state": run.about.states[turn],
                        "changed": run.about.changed[turn],
                        "success": bool(mine.accepted[turn] & mine.matches[turn]),
                        "accepted": bool(mine.accepted[turn]),
                        "database": bool(mine.matches[turn]),
                        "greedy": bool(mine.greedy[turn]),
                        "tokens_run": int(mine.tokens[turn]),
                        "tokens": int(mine.length[turn]),
                        "ttft_ms": float(mine.ms[turn]),
                    },
                )
            )
        return out


def both_states(run: VisitRun) -> tuple[Decision, Decision]:
    """A full prefill's decisions in the two states of a decision: before the change and after it."""
    about, full = run.about, run.arms[FULL.name]
    now = about.right[0]
    margin = float(full.margin[0])
    right = bool(full.accepted[0] & full.matches[0])
    return (
        Decision(
            about.user,
            f"{about.instance}-before",
            now == 1,
            run.before.margin,
            run.before.right,
            run.before.greedy_right,
        ),
        Decision(
            about.user, f"{about.instance}-after", now == 0, margin, right, right and bool(full.greedy[0])
        ),
    )
