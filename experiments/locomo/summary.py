"""From answers to their scores, their agreement with the full prefill, and what they cost."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from experiments.locomo.arms import FULL, NO_HISTORY, Asked, HistoryRun
from experiments.locomo.measure import Measured
from experiments.locomo.reading import ADVERSARIAL
from experiments.locomo.settings import MARGIN, LocomoSettings
from experiments.locomo.tables import ALL, AgreementLine, ArmLine, CostLine, HistoryLine, ParityLine
from pkv_interp.memory.splices import seam_arm
from pkv_interp.records.schema import Row
from pkv_interp.records.tables import TableRow, interval
from pkv_interp.run.report import NOT_NEGATIVE, SHARE, Bounds, Headline, Report
from pkv_interp.run.scoring import UNSIGNED, Resampling, Scoring
from pkv_interp.stats import Estimate, mean, tost

#: Quantities that are tested for equivalence.
_TESTED = ("f1", "right", "right_published")
_DIFFERENCE: Bounds = (-1.0, 1.0)
_SPLIT = "locomo"


def summarise(found: Measured, scoring: Scoring[LocomoSettings]) -> Report:
    """Scores by arm and category, agreement, parity and costs."""
    runs, resampling = found.histories, scoring.resampling
    pairs = [(run.conversation, one) for run in runs for one in run.asked]
    plain = [pair for pair in pairs if pair[1].category != ADVERSARIAL] or pairs
    spliced = seam_arm(0)
    arms = list(pairs[0][1].answers)
    parity = [
        _parity(plain, arm, quantity, resampling) for arm in arms if arm != FULL for quantity in _TESTED
    ]
    difference = next(line for line in parity if (line.arm, line.quantity) == (spliced, "f1"))
    return Report(
        headlines=[
            _headline("f1_full", _share(plain, FULL, "f1", resampling), "token F1, full prefill"),
            _headline("f1_spliced", _share(plain, spliced, "f1", resampling), "token F1, sessions spliced"),
            _headline("difference", difference.estimate, "token F1, spliced less full", _DIFFERENCE),
            _headline("questions", _count(len(plain)), "questions asked, categories 1 to 4", NOT_NEGATIVE),
            _headline(
                "text_agreement",
                _share(plain, spliced, "same_text", resampling),
                "spliced writes what the full prefill writes",
            ),
            _headline(
                "first_token_agreement",
                mean(
                    [one.agreement[spliced].top1 for _, one in plain],
                    [name for name, _ in plain],
                    bounds=(0.0, 1.0),
                    **resampling,
                ),
                "the same first token, spliced and full",
            ),
        ],
        tables=[
            *(_arm(plain, arm, ALL, resampling) for arm in arms),
            *_by_category(pairs, arms, resampling),
            *(_agreement(plain, arm, resampling) for arm in plain[0][1].agreement),
            *parity,
            *_costs(runs),
            *(_history(run) for run in runs),
        ],
        rows=[_row(name, one, arm) for name, one in pairs for arm in (*arms, *_unwritten(one))],
    )


_Pairs = Sequence[tuple[str, Asked]]


def _headline(name: str, estimate: Estimate, what: str, bounds: Bounds = SHARE) -> Headline:
    # No decision is read here, so that there is no gate.
    return Headline(name, estimate, what, needs_gate=False, bounds=bounds)


def _count(n: int) -> Estimate:
    return Estimate(value=n, n_families=1, n_instances=n)


def _unwritten(one: Asked) -> list[str]:
    return [arm for arm in one.agreement if arm not in one.answers]


def _values(pairs: _Pairs, arm: str, quantity: str) -> list[float]:
    return [float(getattr(one.answers[arm], quantity)) for _, one in pairs]


def _share(pairs: _Pairs, arm: str, quantity: str, resampling: Resampling) -> Estimate:
    names = [name for name, _ in pairs]
    return mean(_values(pairs, arm, quantity), names, bounds=(0.0, 1.0), **resampling)


def _arm(pairs: _Pairs, arm: str, category: str, resampling: Resampling) -> ArmLine:
    found = {
        name: _share(pairs, arm, name, resampling) for name in ("f1", "right", "right_published", "same_text")
    }
    columns: dict[str, Any] = {
        key: value for name, one in found.items() for key, value in interval(name, one).items()
    }
    return ArmLine(
        arm=arm,
        category=category,
        **columns,
        answer_tokens=sum(_values(pairs, arm, "tokens")) / len(pairs),
        n=len(pairs),
        n_families=found["f1"].n_families,
    )


def _by_category(pairs: _Pairs, arms: Sequence[str], resampling: Resampling) -> list[TableRow]:
    return [
        _arm([pair for pair in pairs if pair[1].category == category], arm, str(category), resampling)
        for category in sorted({one.category for _, one in pairs})
        for arm in arms
    ]


def _agreement(pairs: _Pairs, arm: str, resampling: Resampling) -> AgreementLine:
    names, mine = [name for name, _ in pairs], [one.agreement[arm] for _, one in pairs]
    top1 = mean([one.top1 for one in mine], names, bounds=(0.0, 1.0), **resampling)
    kl = mean([one.kl for one in mine], names, bounds=UNSIGNED, **resampling)
    columns: dict[str, Any] = {**interval("top1", top1), **interval("kl", kl)}
    return AgreementLine(
        arm=arm,
        **columns,
        cosine=sum(one.cosine for one in mine) / len(mine),
        centred_cosine=sum(one.centred_cosine for one in mine) / len(mine),
        largest=max(one.largest for one in mine),
        n=len(mine),
        n_families=top1.n_families,
    )


def _parity(pairs: _Pairs, arm: str, quantity: str, resampling: Resampling) -> ParityLine:
    """An arm less the full prefill; equivalence is asked only where there are conversations to resample."""
    names = [name for name, _ in pairs]
    full, mine, without = (_values(pairs, one, quantity) for one in (FULL, arm, NO_HISTORY))
    sensitive = fmean(full) - fmean(without) > MARGIN
    apart = [a - b for a, b in zip(mine, full, strict=True)]
    estimate = mean(apart, names, bounds=(-1.0, 1.0), **resampling)
    tested = tost(apart, names, MARGIN, **resampling) if estimate.n_families > 1 else None
    return ParityLine.of(
        estimate,
        arm=arm,
        quantity=quantity,
        margin=MARGIN,
        ci90_low=tested.estimate.ci_low if tested else None,
        ci90_high=tested.estimate.ci_high if tested else None,
        p_value=tested.p_value if tested else None,
        sensitive=sensitive,
        equivalent=tested.equivalent and sensitive if tested else None,
    )


def _costs(runs: Sequence[HistoryRun]) -> list[CostLine]:
    full = sum(run.costs[FULL].seconds for run in runs)
    return [
        CostLine(
            arm=arm,
            tokens=sum(run.costs[arm].tokens for run in runs),
            seconds=(taken := sum(run.costs[arm].seconds for run in runs)),
            once_tokens=0 if arm in (FULL, NO_HISTORY) else sum(run.once.tokens for run in runs),
            once_seconds=0.0 if arm in (FULL, NO_HISTORY) else sum(run.once.seconds for run in runs),
            full_over_this=full / max(taken, 1e-9),
        )
        for arm in runs[0].costs
    ]


def _history(run: HistoryRun) -> HistoryLine:
    return HistoryLine(
        run.conversation, run.sessions, run.of_sessions, run.tokens, len(run.asked), run.answerable
    )


def _row(conversation: str, one: Asked, arm: str) -> Row:
    """One question under one arm: its id, its category and scores."""
    written, read = one.answers.get(arm), one.agreement.get(arm)
    scores = (
        {}
        if written is None
        else {
            "f1": written.f1,
            "right": written.right,
            "right_published": written.right_published,
            "same_text": written.same_text,
            "answer_tokens": written.tokens,
        }
    )
    apart = (
        {}
        if read is None
        else {
            "top1": read.top1,
            "kl": read.kl,
            "centred_cosine": read.centred_cosine,
        }
    )
    return Row(
        family=conversation,
        split=_SPLIT,
        instance=one.id,
        wording=one.category,
        arm=arm,
        extra={**scores, **apart},
    )
