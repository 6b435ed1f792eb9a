"""Function calls, the diagnosis of sliding windows and times, as tables and headlines."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from experiments.composing.calls import FULL, Answer, right_share
from experiments.composing.settings import ComposingSettings
from experiments.composing.spliced import TRANSPLANT
from experiments.composing.tables import Calls, CallSetup, FirstToken, WindowCause
from experiments.composing.timing import Round
from experiments.composing.windows import Diagnosis
from pkv_interp.records.tables import TableRow, interval
from pkv_interp.run.report import NOT_NEGATIVE, Headline
from pkv_interp.run.scoring import UNSIGNED, Resampling
from pkv_interp.stats import mean
from pkv_interp.stats.slopes import slope


def call_tables(
    calls: Mapping[str, Sequence[Answer]], settings: ComposingSettings, resampling: Resampling
) -> list[TableRow]:
    """Right calls by arm; agreement is counted where the full prefill calls rightly.

    Args:
        calls: answers by arm, in one order of requests.
        settings: threshold and length of calls.
        resampling: of the intervals.
    """
    if not calls:
        return []
    lines: list[TableRow] = []
    for arm, answers in calls.items():
        names = [one.function for one in answers]
        right = mean([one.right for one in answers], names, bounds=(0.0, 1.0), **resampling)
        parsed = float(np.mean([one.called is not None for one in answers]))
        lines.append(Calls.of(right, arm=arm, parsed=parsed, n=len(answers)))
    full, moved = calls[FULL], calls.get(TRANSPLANT, ())
    same = [a.called == b.called for a, b in zip(full, moved, strict=bool(moved)) if a.right]
    setup = CallSetup(
        competent=right_share(full) >= settings.competence_threshold,
        agreement=float(np.mean(same)) if same else None,
        counted=len(same),
        example=full[0].text,
        most_tokens=settings.tool_tokens,
    )
    return [*lines, setup]


def window_tables(found: Sequence[Diagnosis], resampling: Resampling) -> list[WindowCause]:
    """KL of the transplant from the full prefill by model and combination of causes handled."""
    lines: list[WindowCause] = []
    for model in dict.fromkeys(one.model for one in found):
        mine = [one for one in found if one.model == model]
        names = [one.family for one in mine]
        for handled in product((True, False), repeat=3):
            kl = [line.kl for one in mine for line in one.combinations if line.causes == handled]
            sink, per_layer, window = handled
            estimate = mean(kl, names, bounds=UNSIGNED, **resampling)
            lines.append(
                WindowCause.of(estimate, model=model, sink=sink, rope_per_layer=per_layer, window=window)
            )
    return lines


def times(
    rounds: Sequence[Round], suffix: int, resampling: Resampling
) -> tuple[list[Headline], list[FirstToken]]:
    """Ratios of full over composed by length, and exponents of both in the length, one fit per round.

    Args:
        rounds: all of the same lengths.
        suffix: tokens after the chunk.
        resampling: of the intervals.
    """
    names = [one.family for one in rounds]
    full = np.array([[timed.full for timed in one.lengths] for one in rounds], float)
    composed = np.array([[timed.composed for timed in one.lengths] for one in rounds], float)
    lengths = [timed.length for timed in rounds[0].lengths]
    headlines: list[Headline] = []
    lines: list[FirstToken] = []
    # Time is no claim about a mechanism: it is stated whatever the model decides.
    for at, length in enumerate(lengths):
        ratio = mean(full[:, at] / composed[:, at], names, **resampling)
        what = f"time to first token, prefill over splice, {length} tokens"
        headlines.append(Headline(f"ttft_ratio_{length}", ratio, what, needs_gate=False, bounds=NOT_NEGATIVE))
        columns: dict[str, Any] = {
            **interval("full", mean(full[:, at], names, **resampling)),
            **interval("composed", mean(composed[:, at], names, **resampling)),
            **interval("ratio", ratio),
        }
        n = len(names)
        lines.append(FirstToken(length=length, n_families=n, n_instances=n, suffix=suffix, **columns))
    x = np.log(np.array(lengths, float))
    for name, seconds, arm in (
        ("ttft_exponent", full, "full prefill"),
        ("ttft_exponent_composed", composed, "splice"),
    ):
        fits = [slope(x, np.log(one)) for one in seconds]
        what = f"growth of the {arm}'s time with length"
        headlines.append(Headline(name, mean(fits, names, **resampling), what, needs_gate=False))
    return headlines, lines
