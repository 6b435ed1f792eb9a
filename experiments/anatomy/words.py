"""Role or word: donors with other action words at the same places.

A donor is a field pair; what its two prompts do to the base, one minus the other, is what its conclusion
does, whatever else its surface does. The base is the corrupt prompt throughout, which names the words A (on a
match) and B. A *swapped* donor's rule says B on a match; a *renamed* donor's names C and D, and so does its
menu.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pkv_interp.cache.frozen import PARTS, Part
from pkv_interp.engine import Engine
from pkv_interp.interventions import KVPatch, Row
from pkv_interp.measure.note_groups import note_groups
from pkv_interp.measure.pairs import PairRun, run_pair
from pkv_interp.tasks.reworded import Reworded

#: All keys of the notes and their values, but for the values of the words, which stay the base's own.
UNWORDED = "notes, base's words/KV"
#: Positions with a part of the cache that is put in there, all of them together.
Put = tuple[tuple[tuple[int, ...], Part], ...]


@dataclass(frozen=True)
class Words:
    """What donors of one kind do to one case's decision, the match's donor minus the mismatch's; in logits.

    Attributes:
        role: shift of the logit of A minus that of B, by ``group/part``.
        word: shift of the logit of C minus that of D.
        gap: the same difference between the donor's own two prompts, of its own words.
        right: the model is right on both of them.
    """

    role: dict[str, float]
    word: dict[str, float]
    gap: float
    right: bool


@dataclass(frozen=True)
class Rewordings:
    """One case with donors of every kind; a kind is None where the case has no such donor.

    Attributes:
        same: the case itself as the donor.
        swapped: the action words exchanged in the rule.
        renamed: other action words.
        renamed_actions: C and D.
    """

    same: Words
    swapped: Words | None
    renamed: Words | None
    renamed_actions: tuple[str, str] | None


def patches(one: Reworded) -> dict[str, Put]:
    """What is put in, by name.

    ``elsewhere`` are the notes but for action words, in rule and menu.
    """
    groups = note_groups(one.case)
    words = tuple(sorted(groups.get("actions", ()) + groups.get("menu", ())))
    elsewhere = tuple(at for at in groups["notes"] if at not in set(words))
    named = {name: groups[name] for name in ("notes", "actions", "menu") if name in groups}
    if elsewhere:
        named["elsewhere"] = elsewhere
    found: dict[str, Put] = {
        f"{group}/{part}": ((positions, part),) for group, positions in named.items() for part in PARTS
    }
    if words and elsewhere:
        found[UNWORDED] = ((elsewhere, "KV"), (words, "K"))
    return found


def measure_words(engine: Engine, one: Reworded) -> Rewordings:
    """Every patch from donors of every kind."""
    base = run_pair(engine, one.case, set())
    ids = one.case.action_ids + (one.renamed.action_ids if one.renamed is not None else ())
    put = patches(one)

    def from_donors(pair: PairRun) -> Words:
        rows: list[Row] = [
            tuple(KVPatch(positions, side, None, part) for positions, part in patch)
            for patch in put.values()
            for side in (0, 1)
        ]
        decoded = engine.decode(base.corrupt, rows, (pair.clean, pair.corrupt), ids)
        logits = decoded.logits.double().cpu().numpy()
        moved = dict(zip(put, logits[0::2] - logits[1::2], strict=True))
        return Words(
            role={name: float(shift[0] - shift[1]) for name, shift in moved.items()},
            word={name: float(shift[2] - shift[3]) for name, shift in moved.items() if len(ids) > 2},
            gap=pair.gap,
            right=pair.clean_margin > 0 > pair.corrupt_margin,
        )

    donors: Mapping[str, PairRun | None] = {
        kind: None if case is None else run_pair(engine, case, set())
        for kind, case in (("swapped", one.swapped), ("renamed", one.renamed))
    }
    found = {kind: None if pair is None else from_donors(pair) for kind, pair in donors.items()}
    return Rewordings(
        same=from_donors(base),
        swapped=found["swapped"],
        renamed=found["renamed"],
        renamed_actions=None if one.renamed is None else one.renamed.actions,
    )
