"""What the model decides on both prompts of a pair: competence, which is measured before a mechanism."""

from dataclasses import dataclass

from pkv_interp.measure.pairs import PairRun, margin_of


@dataclass(frozen=True)
class Decision:
    """One prompt's decision: two-way margin towards the gold action and the full-vocabulary choice."""

    family: str
    instance: str
    gold_is_match: bool
    margin: float
    right: bool
    top_token_right: bool


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
