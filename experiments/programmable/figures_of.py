"""Every figure of one model, by the name that criteria use."""

from collections.abc import Sequence

import numpy as np

from experiments.programmable.edits import BEFORE, BYSTANDERS, EditMargins
from experiments.programmable.measure import RoleMeasured
from pkv_interp.measure.edit_patterns import READ
from pkv_interp.run.scoring import Resampling
from pkv_interp.stats import Estimate, mean, ratio_of_means
from pkv_interp.stats.shares import share_difference

#: Arms that must not be worse than the plain prefill.
EDITED = ("field_only_isolated", "rule_linked", "read_field_only_isolated", "read_field_only", "read_full")
#: Arms of the policy in one piece of cache.
SPLICED = ("full_blind", "splice_blind", "read_splice_blind")


def share(values: Sequence[bool] | np.ndarray, families: Sequence[str], how: Resampling) -> Estimate:
    """Share of right ones."""
    return mean(np.asarray(values, float), families, bounds=(0.0, 1.0), **how)


def with_arm(edits: Sequence[EditMargins], arm: str) -> list[EditMargins]:
    """Edits that have an arm."""
    return [one for one in edits if arm in one.margins]


def right(edits: Sequence[EditMargins], arm: str) -> np.ndarray:
    """Whether each edit is decided right in an arm."""
    return np.array([one.margins[arm] > 0 for one in edits])


def read_right(edits: Sequence[EditMargins], arm: str) -> np.ndarray:
    """Whether the value that was read back is the one that the text had by then, in letters of any case."""
    before = arm.removeprefix(READ) in (*BEFORE, *BYSTANDERS)
    return np.array([one.values[arm].lower() == (one.old if before else one.new).lower() for one in edits])


def figures_of(mine: RoleMeasured, gate: RoleMeasured, how: Resampling) -> dict[str, Estimate]:
    """Figures of one model; a figure whose arms were not measured is not there.

    A name ends in the neutral sentences of the prompts, or in the edits of `drift`: a criterion written
    for one size finds no figure of another.

    Args:
        mine: of the model.
        gate: of the run's own model, on the same cases.
        how: intervals are drawn.
    """
    found: dict[str, Estimate] = {}
    for fillers in dict.fromkeys(one.fillers for one in mine.edits):
        part = [one for one in mine.edits if one.fillers == fillers]
        for arm in EDITED:
            told = with_arm(part, arm)
            if told:
                names = [one.family for one in told]
                found[f"{arm}_{fillers}"] = share(right(told, arm), names, how)
                lost = share_difference(right(told, "full"), right(told, arm), names, **how)
                found[f"{arm}_gap_{fillers}"] = lost
        if told := with_arm(part, "read_full"):
            lost = share_difference(
                right(told, "read_full"),
                right(told, "read_field_only_isolated"),
                [one.family for one in told],
                **how,
            )
            found[f"read_pattern_gap_{fillers}"] = lost
    short = with_arm(mine.edits, "full_old")
    size = short[0].fillers
    names = [one.family for one in short]
    plain = {arm: right(short, arm).astype(float) for arm in ("full", "full_old")}
    both, twice = np.concatenate(list(plain.values())), [*names, *names]
    found[f"plain_{size}"] = share(both, twice, how)
    theirs = with_arm(gate.edits, "full_old")
    before = np.concatenate([right(theirs, arm).astype(float) for arm in ("full", "full_old")])
    if before.sum():
        found[f"plain_ratio_{size}"] = ratio_of_means(both, before, twice, **how)
    for arm in (
        "full",
        "full_isolated",
        "field_only_isolated",
        "field_only",
        "rule_linked",
        "full_rule_linked",
    ):
        told = with_arm(short, arm)
        if told:
            found[f"{arm}_{size}"] = share(right(told, arm), [one.family for one in told], how)
    found |= {
        f"{name}_{size}": flips
        for name, flips in (
            ("bystander_flips", _flips(short, "bystander_isolated", "full_isolated_old", how)),
            ("bystander_flips_plain", _flips(short, "bystander_plain", "full_old", how)),
            (
                "read_bystander_flips",
                _flips(short, "read_bystander_isolated", "read_full_isolated_old", how),
            ),
        )
        if flips is not None
    }
    found |= {f"{name}_{size}": told for name, told in _spliced(mine, how).items()}
    found[f"drift_{mine.drifts[0].edits}"] = mean(
        [one.isolated for one in mine.drifts],
        [one.family for one in mine.drifts],
        bounds=(0.0, float("inf")),
        **how,
    )
    if mine.chat is not None and gate.chat is not None:
        ratio = mine.chat.loss / gate.chat.loss
        # Chats are of no family: there is no interval, and one sample.
        found["chat_loss_ratio"] = Estimate(value=ratio, n_families=1, n_instances=mine.chat.chats)
    return found


def _flips(edits: Sequence[EditMargins], arm: str, before: str, how: Resampling) -> Estimate | None:
    """Share of decisions that another field's new value turns."""
    told = with_arm(edits, arm)
    if not told:
        return None
    return share(right(told, arm) != right(told, before), [one.family for one in told], how)


def _spliced(mine: RoleMeasured, how: Resampling) -> dict[str, Estimate]:
    names = [one.family for one in mine.splices]
    arms = {
        arm: np.array([getattr(one, arm) > 0 for one in mine.splices], float) for arm in ("full", *SPLICED)
    }
    found = {arm: share(values, names, how) for arm, values in arms.items() if arm in SPLICED}
    for name in ("splice_blind", "read_splice_blind"):
        gap = share_difference(arms["full"], arms[name], names, **how)
        found[name.replace("blind", "gap")] = gap
    return found
