"""The figure of each claim, and the decisions of each part, from what was measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.confirm.about import right_on_both
from experiments.confirm.edits import ATTENDED, OTHER, RECOMPUTED, TAGGED, EditScores
from experiments.confirm.episodes import ArmTurns, EpisodeScores
from experiments.confirm.found import Measured, Scores
from experiments.confirm.pairs import RANDOM, TOP, PairScores
from experiments.confirm.parts import AFTER, BEFORE, EDITS, EPISODES, FIELD, POLARITY, QUADS
from experiments.confirm.quads import SCRUBS, QuadScores
from experiments.confirm.samples import DepthGap, Figure, Ratio
from experiments.confirm.splices import SpliceScores
from pkv_interp.agent.arms import PREFIX_CACHE, UNIFIED, Arm
from pkv_interp.measure.competence import Decision
from pkv_interp.run.preregistered import NamedModel
from pkv_interp.run.preregistration import Preregistration


@dataclass(frozen=True)
class Part:
    """Decisions of one part, pair by pair, and how many of its pairs are scored."""

    families: list[str]
    decisions: list[list[Decision]]
    used: int

    @property
    def right(self) -> list[bool]:
        """Whether each pair is right on both sides."""
        return [right_on_both(mine) for mine in self.decisions]


def parts_of(found: Measured, model: NamedModel) -> dict[str, Part]:
    """Decisions by part: of screened pairs those on all that were tried."""
    scores = found.scores
    if scores is None:
        return {}
    scored: dict[str, Sequence[PairScores | QuadScores | EditScores | SpliceScores | EpisodeScores]] = {
        FIELD: scores.field,
        POLARITY: scores.polarity,
        QUADS: scores.quads,
        EDITS: scores.edits,
        BEFORE: scores.moved_late,
        AFTER: scores.moved,
        EPISODES: scores.episodes,
    }
    # Edits are of the field pairs that are used.
    kinds = {FIELD: "field", POLARITY: "polarity", QUADS: "quads", EDITS: "field"} if model.screened else {}
    parts: dict[str, Part] = {}
    for name, mine in scored.items():
        told = found.tried[kinds[name]].found if mine and name in kinds else mine
        if mine:
            parts[name] = Part([one.about.family for one in told], [one.decisions for one in told], len(mine))
    return parts


def figures_of(scores: Scores, plan: Preregistration, floor: float) -> dict[str, Figure]:
    """The figure of every claim that there is one for.

    Args:
        scores: of the families to be confirmed.
        plan: says from which rise a layer counts as written.
        floor: noise floor of margins, in logits; pairs with a smaller gap carry no signal.
    """
    found: dict[str, Figure | None] = {
        "field_only": _recovery(scores.field, "field_only", floor),
        "notes_only": _recovery(scores.field, "notes_only", floor),
        # Read heads are scored on one of the two kinds.
        TOP: _recovery([*scores.field, *scores.polarity], TOP, floor),
        RANDOM: _recovery([*scores.field, *scores.polarity], RANDOM, floor),
        **{arm: _right(scores.edits, arm) for arm in (ATTENDED, RECOMPUTED, TAGGED, OTHER)},
        **{claim: _shift(scores.quads, claim, floor) for claim in SCRUBS},
        "write_before_read": _depths(scores, plan),
        "moved_rule": _agreement(scores.moved_late),
        "moved_rule_blind": _agreement(scores.moved),
        "unified_success": _success(scores.episodes),
        "unified_speed": _speed(scores.episodes),
    }
    return {name: figure for name, figure in found.items() if figure is not None}


def _recovery(pairs: Sequence[PairScores], arm: str, floor: float) -> Ratio | None:
    """Recovery of an arm; None where no pair has it, or none has a gap."""
    told = [one for one in pairs if arm in one.arms and abs(one.clean - one.corrupt) > floor]
    if not told:
        return None
    return Ratio(
        np.array([one.arms[arm] - one.corrupt for one in told]),
        np.array([one.clean - one.corrupt for one in told]),
        [one.about.family for one in told],
        np.array([right_on_both(one.decisions) for one in told]),
    )


def _shift(quads: Sequence[QuadScores], claim: str, floor: float) -> Ratio | None:
    """Shift towards the other conclusion over the gap, the mean of both prompts."""
    told = [one for one in quads if abs(one.clean - one.corrupt) > floor]
    if not told:
        return None
    return Ratio(
        np.array([np.mean(one.moved[claim]) for one in told]),
        np.array([one.clean - one.corrupt for one in told]),
        [one.about.family for one in told],
        np.array([right_on_both(one.decisions) for one in told]),
    )


def _share(values: Sequence[float], families: Sequence[str], counted: Sequence[bool]) -> Ratio | None:
    if not values:
        return None
    return Ratio(np.array(values, float), np.ones(len(values)), families, np.array(counted, bool), True)


def _right(edits: Sequence[EditScores], arm: str) -> Ratio | None:
    told = [one for one in edits if arm in one.arms]
    right = [float(one.arms[arm] > 0) for one in told]
    return _share(right, [one.about.family for one in told], [right_on_both(one.decisions) for one in told])


def _agreement(moved: Sequence[SpliceScores]) -> Ratio | None:
    """Share of prompts, two of each pair, on which the splice decides as the full prefill."""
    alike = [
        float((full > 0) == (spliced > 0))
        for one in moved
        for full, spliced in zip(one.full, one.spliced, strict=True)
    ]
    return _share(
        alike,
        [one.about.family for one in moved for _ in one.full],
        [right_on_both(one.decisions) for one in moved for _ in one.full],
    )


def _depths(scores: Scores, plan: Preregistration) -> DepthGap | None:
    probes = scores.probes
    if probes is None:
        return None
    return DepthGap(
        probes.conclusion - probes.shuffled,
        np.array(probes.layers) / probes.layers[-1],
        np.array([one.commit for one in scores.quads]),
        plan.sizes.probe_rise,
        [one.about.family for one in scores.quads],
        np.array([right_on_both(one.decisions) for one in scores.quads]),
    )


def _success(episodes: Sequence[EpisodeScores]) -> Ratio | None:
    """Right turns of the unified arm less those of the prefix cache, over turns; by episode."""
    unified, cached = (_sums(episodes, arm, lambda turns: turns.right) for arm in (UNIFIED, PREFIX_CACHE))
    turns = np.array([len(one.arms[UNIFIED.name].right) for one in episodes], float)
    return _of_turns(unified - cached, turns, episodes)


def _speed(episodes: Sequence[EpisodeScores]) -> Ratio | None:
    unified, cached = (_sums(episodes, arm, lambda turns: turns.ms) for arm in (UNIFIED, PREFIX_CACHE))
    return _of_turns(cached, unified, episodes)


def _sums(
    episodes: Sequence[EpisodeScores], arm: Arm, quantity: Callable[[ArmTurns], np.ndarray]
) -> np.ndarray:
    return np.array([float(quantity(one.arms[arm.name]).sum()) for one in episodes])


def _of_turns(above: np.ndarray, below: np.ndarray, episodes: Sequence[EpisodeScores]) -> Ratio | None:
    """Over all turns: those on which the full arm is right would favour the arm that is closest to it."""
    if not episodes:
        return None
    every = np.ones(len(episodes), bool)
    return Ratio(above, below, [one.about.family for one in episodes], every)
