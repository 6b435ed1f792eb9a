"""What the episodes say: shares by course and arm, and their headlines."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Bool

from experiments.tau2.episodes import CHANGED, COURSES, LOOKED_UP, UNCHANGED, EpisodeRun
from experiments.tau2.tables import EpisodeShare
from experiments.tau2.visits import Visits
from pkv_interp.agent.arms import FULL
from pkv_interp.run.report import SHARE, Headline
from pkv_interp.run.scoring import Resampling

_WORDS = {
    UNCHANGED: "nothing changed",
    CHANGED: "state changed",
    LOOKED_UP: "state changed, looked up anew",
}


class Episodes:
    """Episodes as arrays.

    Attributes:
        by_course: their visits, by course.
    """

    def __init__(self, runs: Sequence[EpisodeRun], resampling: Resampling) -> None:
        """Lay out every course of ``runs``."""
        self.by_course = {
            course: Visits([run.courses[course] for run in runs], resampling) for course in COURSES
        }

    @property
    def both_right(self) -> Bool[np.ndarray, " episodes"]:
        """Whether the full prefill succeeds with nothing changed and with the state changed."""
        before, after = (self.by_course[course].success(FULL.name) for course in (UNCHANGED, CHANGED))
        return (before > 0) & (after > 0)

    def headlines(self, what: Mapping[str, str]) -> list[Headline]:
        """Success by course and arm, behind the gate, and how many records are right in both states.

        Args:
            what: each arm does.
        """
        both = self.by_course[CHANGED].share(self.both_right.astype(float))
        words = "episodes that a full prefill gets right unchanged and changed"
        out = [Headline("episode_both_right", both, words, needs_gate=False, bounds=SHARE)]
        for course, visits in self.by_course.items():
            for arm in visits.arms:
                share = visits.share(visits.success(arm.name))
                told = f"{_WORDS[course]}: {what[arm.name]}"
                out.append(Headline(f"episode_{course}_{arm.name}", share, told, bounds=SHARE))
        return out

    def shares(self) -> Iterator[EpisodeShare]:
        """Lines of the table: of all episodes, of each domain's, and of those right in both states."""
        for course, visits in self.by_course.items():
            domains = np.array([run.about.domain for run in visits.runs])
            samples = {"all": np.ones(len(domains), bool)}
            samples |= {name: domains == name for name in dict.fromkeys(domains.tolist())}
            for sample, where in (samples | {"both_right": self.both_right}).items():
                for arm in visits.arms if where.any() else ():
                    quantities = {
                        "right": visits.right(arm.name),
                        "success": visits.success(arm.name),
                        "agreement": visits.agrees(arm.name),
                    }
                    for quantity, values in quantities.items():
                        yield EpisodeShare.of(
                            visits.share(values, where),
                            course=course,
                            sample=sample,
                            arm=arm.name,
                            quantity=quantity,
                        )
