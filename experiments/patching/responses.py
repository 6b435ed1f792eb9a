"""How cache states fare as the prompt grows, and after a chain of thought."""

import numpy as np

from experiments.patching.cases import dose_names
from experiments.patching.measure import Measured
from experiments.patching.settings import PatchingSettings
from experiments.patching.tables import ChainSetup, ChainState, DoseResponse
from pkv_interp.measure.chains import Chain
from pkv_interp.records.schema import Row
from pkv_interp.records.tables import TableRow
from pkv_interp.run.scoring import Scorer, Scoring, SideMargins
from pkv_interp.run.stage import stacked

Lines = tuple[list[TableRow], list[Row]]


def dose_responses(found: Measured, scoring: Scoring[PatchingSettings]) -> Lines:
    """Cache states by prompt length and by statements of the rule; nothing where no case has a rule."""
    cases = found.cases.dosed
    if not cases:
        return [], []
    doses = found.doses.of(cases)
    lines: list[TableRow] = []
    rows: list[Row] = []
    for name, (what, amount) in dose_names(scoring.settings).items():
        mine = [one.at[name] for one in doses]
        scorer = scoring.on(cases, mine)
        right = float(np.mean([*(scorer.clean > 0), *(scorer.corrupt < 0)]))
        tokens = [one.tokens for one in mine]
        for arm in ("field_only", "notes_only"):
            values = stacked(mine, lambda dose, arm=arm: dose.states[arm])
            lines.append(
                DoseResponse.of(
                    scorer.arm(f"{arm}@{name}", values, tokens=tokens),
                    what=what,
                    amount=amount,
                    arm=arm,
                    tokens=float(np.mean(tokens)),
                    gap=float(scorer.gap.mean()),
                    two_way_right=right,
                    decides_new=float((values > 0).mean()),
                )
            )
        rows += scorer.rows
    return lines, rows


def chains(found: Measured, scoring: Scoring[PatchingSettings]) -> Lines:
    """Decisions after a chain of thought from each cache state, or the word that the model cannot do it."""
    cases, settings = found.cases.chains, scoring.settings
    if not cases:
        return [], []
    thought = [one.by_state for one in found.chains.of(cases)]
    sides = [SideMargins(one["oracle"].margin, one["stale"].margin) for one in thought]
    scorer = scoring.on(cases, sides)
    oracle_right, stale_right = float((scorer.clean > 0).mean()), float((scorer.corrupt < 0).mean())
    answers = float(np.mean([chain.is_action for one in thought for chain in one.values()]))
    able = min(oracle_right, stale_right, answers) >= settings.competence_threshold
    competent = able and not scoring.random_weights
    lines: list[TableRow] = [
        ChainSetup(
            prompt="reason first" if settings.model.thinking is None else "thinking template",
            decoding="greedy",
            most_tokens=settings.cot_tokens,
            n=len(cases),
            competent=competent,
            answers_with_an_action=answers,
            oracle_right=oracle_right,
            stale_right=stale_right,
        )
    ]
    for state in thought[0]:
        lines.append(_after_chain(scorer, state, [one[state] for one in thought], competent))
    return lines, scorer.rows


def _after_chain(scorer: Scorer, state: str, chains: list[Chain], competent: bool) -> ChainState:
    """Decisions after the chains from one cache state; what was patched also gives rows.

    Args:
        scorer: of the prompts that ask for a reason.
        state: where the chains start.
        chains: one per prompt.
        competent: the model's decisions after a chain may be read as evidence.
    """
    margin = stacked(chains, lambda chain: chain.margin)
    if state not in ("stale", "oracle"):
        scorer.arm(f"cot_{state}", margin, truncated=[chain.truncated for chain in chains])
    without = [chain.no_chain for chain in chains if chain.no_chain is not None]
    gap = float(scorer.gap.sum())
    return ChainState.of(
        scorer.share(margin > 0),
        state=state,
        recovery=float((margin - scorer.corrupt).sum() / gap) if gap else None,
        quantity="decides_new",
        no_downstream=float(np.mean([chain.no_downstream > 0 for chain in chains])),
        no_chain=float(np.mean([margin > 0 for margin in without])) if without else None,
        tokens=float(np.mean([chain.n_tokens for chain in chains])),
        truncated=float(np.mean([chain.truncated for chain in chains])),
        competent=competent,
        example=chains[0].text,
    )
