"""What each arm costs: time to first token and tokens run, against the full arm."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from experiments.agent.arms import EpisodeRun
from experiments.agent.tables import Cost, Speed
from pkv_interp.agent import ARMS, Episode
from pkv_interp.agent.arms import FULL
from pkv_interp.run.scoring import Resampling
from pkv_interp.stats import Estimate, mean, ratio_of_means

#: Episodes by turns, summed up to each turn.
Sums = Float[np.ndarray, "episodes turns"]


@dataclass(frozen=True)
class Costs:
    """Costs of all arms.

    Attributes:
        speedup: time to first token of the full arm over each arm's, summed over an episode.
        speeds: that and the same of tokens run, as lines.
        lines: both up to each turn.
    """

    speedup: dict[str, Estimate]
    speeds: list[Speed]
    lines: list[Cost]


def costs(episodes: Sequence[Episode], runs: Sequence[EpisodeRun], resampling: Resampling) -> Costs:
    """By how many times an arm is cheaper than the full one, and its cost summed up to each turn.

    Args:
        episodes: all of one layout.
        runs: of them, in their order.
        resampling: of the intervals over domains.
    """
    domains = [one.family.name for one in episodes]
    out = Costs({}, [], [])
    for arm in ARMS:
        ms, tokens = _sums(runs, arm.name)
        fewer = ratios(episodes, runs, (FULL.name, arm.name), resampling)
        out.speedup[arm.name] = fewer["seconds"]
        out.speeds.extend(Speed.of(ratio, arm=arm.name, what=what) for what, ratio in fewer.items())
        out.lines.extend(
            Cost.of(
                mean(ms[:, turn], domains, **resampling),
                arm=arm.name,
                turn=turn + 1,
                tokens=float(tokens[:, turn].mean()),
            )
            for turn in range(ms.shape[1])
        )
    return out


def ratios(
    episodes: Sequence[Episode], runs: Sequence[EpisodeRun], arms: tuple[str, str], resampling: Resampling
) -> dict[str, Estimate]:
    """Cost of one arm over another's, by ``seconds`` to first tokens and ``tokens`` run, of whole episodes.

    Args:
        episodes: all of one layout.
        runs: of them, in their order.
        arms: the one above the line, and the one below.
        resampling: of the intervals over domains.
    """
    domains = [one.family.name for one in episodes]
    above, below = (_sums(runs, arm) for arm in arms)
    return {
        name: ratio_of_means(a[:, -1], b[:, -1], domains, **resampling)
        for name, a, b in zip(("seconds", "tokens"), above, below, strict=True)
    }


def _sums(runs: Sequence[EpisodeRun], arm: str) -> tuple[Sums, Sums]:
    """Milliseconds and tokens of an arm, each summed up to each turn."""
    return (
        np.cumsum([run.arms[arm].ms for run in runs], axis=1),
        np.cumsum([run.arms[arm].tokens for run in runs], axis=1).astype(float),
    )
