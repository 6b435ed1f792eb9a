"""The competence gate: is the model right on both field values before its mechanism is spoken of?"""

from collections.abc import Sequence
from dataclasses import dataclass

from pkv_interp.measure.pairs import PairRun, margin_of
from pkv_interp.stats import Estimate, mean


@dataclass(frozen=True)
class Decision:
    """One prompt's decision: two-way margin towards the gold action and the full-vocabulary choice."""

    family: str
    instance: str
    gold_is_match: bool
    margin: float
    right: bool
    top_token_right: bool


@dataclass(frozen=True)
class Gate:
    """Accuracy over prompts.

    Attributes:
        accuracy: two-way, both sides together.
        per_value: by side, ``match`` (the field has the trigger's value) and ``mismatch``.
        top_token: share of prompts whose full-vocabulary argmax is the gold action.
    """

    accuracy: Estimate
    per_value: dict[str, float]
    threshold: float
    top_token: float

    @property
    def passed(self) -> bool:
        """Whether both sides reach the threshold."""
        return min(self.per_value["match"], self.per_value["mismatch"]) >= self.threshold


def decisions(pair: PairRun) -> list[Decision]:
    """Decisions on both prompts of a pair that was run; a positive margin is towards the gold action."""
    out = []
    for prefill, match in ((pair.clean, True), (pair.corrupt, False)):
        sign = 1.0 if match else -1.0
        margin = sign * margin_of(prefill, pair.case.action_ids)
        gold = pair.case.action_ids[0 if match else 1]
        out.append(
            Decision(
                pair.case.family,
                pair.case.instance,
                match,
                margin,
                margin > 0,
                int(prefill.logits.argmax()) == gold,
            )
        )
    return out


def gate(decided: Sequence[Decision], threshold: float, *, seed: int, draws: int = 2000) -> Gate:
    """Accuracy with its interval over families, and per side; the gate asks both sides for the threshold.

    Args:
        decided: decisions on both prompts of every pair.
        threshold: least accuracy of either side.
        seed: of the interval.
        draws: of the interval.
    """
    accuracy = mean(
        [d.right for d in decided], [d.family for d in decided], seed=seed, draws=draws, bounds=(0.0, 1.0)
    )
    sides = {
        "match": [d for d in decided if d.gold_is_match],
        "mismatch": [d for d in decided if not d.gold_is_match],
    }
    per_value = {name: sum(d.right for d in part) / len(part) for name, part in sides.items()}
    top = sum(d.top_token_right for d in decided) / len(decided)
    return Gate(accuracy, per_value, threshold, top)
