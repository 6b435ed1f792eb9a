"""Checks with known answers of each part of the confirmatory run."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments.confirm.edits import EditScores
from experiments.confirm.episodes import EpisodeScores
from experiments.confirm.items import Laid
from experiments.confirm.pairs import PairScores
from experiments.confirm.splices import SpliceChecks, check_moves
from pkv_interp.cache.compute import Runner

if TYPE_CHECKING:
    from experiments.confirm.settings import ConfirmSettings
    from pkv_interp.run.session import Session

#: In float32 arms of the same text may differ by this much, in logits.
SAME_TEXT = 1e-4
ALIGNED = (
    "share of contexts whose tokens, the last one left out, are those of the pair that names their positions"
)


def check_pairs(session: "Session[ConfirmSettings]", found: Sequence[PairScores]) -> None:
    """All that can have changed, put in together, is the clean prompt.

    Raises:
        ControlFailure: it is not.
    """
    if not found:
        return
    worst = max(abs(one.arms["full_patch"] - one.clean) for one in found)
    told = f"logits, changed span and notes together against clean, {len(found)} scored pairs"
    session.control("full_downstream", worst, 0.0, session.noise_floor["margin"], told)


def check_edits(session: "Session[ConfirmSettings]", found: Sequence[EditScores]) -> None:
    """Positions are those of the pairs that name them, and equal routes are equal.

    Raises:
        ControlFailure: one is not.
    """
    if not found:
        return
    n, allowed = len(found), session.tolerance.logits
    session.control("positions_agree", sum(one.aligned for one in found) / n, 1.0, 0.0, ALIGNED)
    session.control(
        "suffix_recompute_equals_full",
        max(one.ends_apart for one in found),
        0.0,
        allowed,
        f"logits, recompute from the field on against a prefill, {n} edits",
    )
    session.control(
        "erratum_is_a_prefill",
        max(one.prefill_difference for one in found),
        0.0,
        allowed,
        "logits, an erratum after the stale cache against a prefill of the old text and the erratum",
    )
    session.control(
        "earlier_columns_kept",
        sum(one.earlier_columns_kept for one in found) / n,
        1.0,
        0.0,
        "share of errata that left every earlier column bit for bit",
    )


def check_splices(session: "Session[ConfirmSettings]", runner: Runner, pairs: Sequence[Laid]) -> None:
    """A splice that has to change nothing changes nothing, and keys are turned rightly.

    Args:
        session: of the run.
        runner: of the model.
        pairs: a few.

    Raises:
        ControlFailure: an error is too large.
    """
    if not pairs:
        return
    tokenizer = session.tokenizer
    found = session.once("splice checks", lambda: check_moves(runner, tokenizer, pairs), SpliceChecks)
    allowed, told = session.tolerance, f"both prompts of {len(pairs)} pairs"
    keys = f"first layer's keys of chunks made elsewhere against a full prefill's, as a share, {told}"
    session.control("splice_at_own_position", found.own_position, 0.0, allowed.logits, f"logits, {told}")
    session.control("extend_equals_prefill", found.noise, 0.0, allowed.logits, f"logits, {told}")
    session.control("turned_keys", found.turned, 0.0, allowed.keys, keys)


def check_episodes(session: "Session[ConfirmSettings]", found: Sequence[EpisodeScores]) -> None:
    """Arms that are one agree in logits, and tools refuse what is stale.

    Raises:
        ControlFailure: they do not.
    """
    exact = session.loaded.info.dtype == "float32"
    allowed = SAME_TEXT if exact else session.tolerance.logits
    told = "largest difference in logits"
    cached = [x for one in found if (x := one.prefix_cache_equals_full) is not None]
    placed = [x for one in found if (x := one.splice_in_place) is not None]
    if cached:
        session.control("prefix_cache_equals_full", max(cached), 0.0, allowed, f"{told}, all turns")
    if placed:
        session.control(
            "splice_in_place", max(placed), 0.0, allowed, f"{told}, a policy put back after its own prefix"
        )
    session.control(
        "stale_refused",
        min(one.stale_refused for one in found),
        1.0,
        0.0,
        "lowest share over episodes, actions that were right before the change",
    )
    session.control(
        "current_accepted",
        min(one.current_accepted for one in found),
        1.0,
        0.0,
        "lowest share over episodes, actions that are right now",
    )
