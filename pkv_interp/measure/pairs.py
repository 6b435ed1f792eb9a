"""A case run through the model: clean and corrupt prefills and their margins."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pkv_interp.engine import Decoded, Engine, Prefill
from pkv_interp.finite import finite
from pkv_interp.interventions import KVPatch, Row
from pkv_interp.measure.decision import token_margin
from pkv_interp.tasks import Case

CAPTURE = frozenset({"prefill", "attention"})


@dataclass(frozen=True)
class PairRun:
    """Both prompts of a case after prefill. Patches take from clean and act on corrupt by default."""

    case: Case
    clean: Prefill
    corrupt: Prefill

    @property
    def clean_margin(self) -> float:
        """Margin on the clean prompt, in logits."""
        return margin_of(self.clean, self.case.action_ids)

    @property
    def corrupt_margin(self) -> float:
        """Margin on the corrupt prompt, in logits."""
        return margin_of(self.corrupt, self.case.action_ids)

    @property
    def gap(self) -> float:
        """Clean margin minus corrupt margin: the denominator of every recovery."""
        return self.clean_margin - self.corrupt_margin

    @property
    def notes(self) -> tuple[int, ...]:
        """Positions after the changed span and before the decision token."""
        return tuple(range(self.case.after_change, self.case.clean.decision))

    @property
    def changed(self) -> tuple[int, ...]:
        """Positions of the changed span."""
        return tuple(range(*self.case.clean.spans[self.case.changed]))


def margin_of(prefill: Prefill, action_ids: tuple[int, int]) -> float:
    """First action's logit minus the second's at the decision token."""
    return float(token_margin(prefill.logits, action_ids))


def margins(decoded: Decoded) -> Float[np.ndarray, " rows"]:
    """Margins of rows decoded for ``token_ids=action_ids``."""
    return finite((decoded.logits[:, 0] - decoded.logits[:, 1]).double(), "the margins").cpu().numpy()


def run_pair(engine: Engine, case: Case, capture: Iterable[str] = CAPTURE, *, share: bool = True) -> PairRun:
    """Prefill both prompts of a case.

    Args:
        engine: of the model.
        case: clean and corrupt prompt.
        capture: activations to keep, as for ``Engine.prefill``.
        share: run the tokens before the change once. Controls that test whether both prompts agree there run
            each prompt on its own: what is shared agrees by construction.
    """
    wanted = frozenset(capture)
    clean = engine.prefill(case.clean.ids, wanted)
    if not share:
        return PairRun(case, clean, engine.prefill(case.corrupt.ids, wanted))
    return PairRun(case, clean, engine.prefill(case.corrupt.ids, wanted, clean))


def decode_margins(engine: Engine, pair: PairRun, rows: Sequence[Row]) -> Float[np.ndarray, " rows"]:
    """Margins of the corrupt prompt under each row; donor 0 is clean, donor 1 is corrupt itself."""
    return margins(engine.decode(pair.corrupt, rows, (pair.clean, pair.corrupt), pair.case.action_ids))


def rerun_margins(engine: Engine, pair: PairRun, rows: Sequence[Row]) -> Float[np.ndarray, " rows"]:
    """As `decode_margins` for rows that edit the prefill: the suffix is computed again."""
    return margins(engine.rerun(pair.corrupt, rows, (pair.clean, pair.corrupt), pair.case.action_ids))


def cache_states(engine: Engine, pair: PairRun) -> dict[str, float]:
    """Margins when the decision reads clean KV at the changed span only, at the notes only, and at both.

    For a polarity pair the first is ``trigger_only``; the third is an identity (the prefix is shared) and
    serves as a control (protocol of arXiv 2606.17107, dissociation).
    """
    rows: list[Row] = [
        (KVPatch(pair.changed, 0),),
        (KVPatch(pair.notes, 0),),
        (KVPatch(pair.changed + pair.notes, 0),),
        (KVPatch(pair.changed + pair.notes, 1),),
    ]
    changed, notes, full, self_ = decode_margins(engine, pair, rows)
    return {
        f"{pair.case.changed}_only": float(changed),
        "notes_only": float(notes),
        "full_patch": float(full),
        "self_patch": float(self_),
    }


def position_sweep(engine: Engine, pair: PairRun) -> Float[np.ndarray, " notes"]:
    """Margin after patching each single position of the notes, in order."""
    rows: list[Row] = [(KVPatch((p,), 0),) for p in pair.notes]
    return decode_margins(engine, pair, rows)
