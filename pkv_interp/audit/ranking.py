"""Ranks and scores on the same instances: the best of many, measured once, looks better than it is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pkv_interp.audit.document import Record
from pkv_interp.audit.finding import RANKING, Checked, Finding, plain
from pkv_interp.audit.tree import Node, is_case_list, number, walk

#: In one case: effects of single sites, and recovery of the best k of them.
SINGLES = (("posrec", "locality_topk"), ("write", "write_cumk"), ("read", "read_cumk"))
#: Where a site is a mapping, its own effect.
EFFECT = "rec"
#: A size chosen from a curve, the curve, and the figures reported at that size.
CHOSEN = ("min_seam_equiv", "seam_doseresponse", "equivalence")
#: Records print three decimals of one number and four of the other.
ROUNDING = 6e-4


@dataclass(frozen=True)
class KnownRanking:
    """A ranking that the record does not show, but its published protocol states.

    Attributes:
        prefix: beginning of the file names that it is about.
        field: JSON pointer to the scores.
        why: what the protocol says, in one sentence of our own.
    """

    prefix: str
    field: str
    why: str


def check_rankings(record: Record, known: Sequence[KnownRanking] = ()) -> Checked:
    """A finding for every score of what was ranked or chosen by that score.

    Args:
        record: to look at.
        known: rankings that only a protocol tells of; they count where the record has the field.
    """
    shown: list[Finding] = []
    looked_at = 0
    for node in walk(record.document):
        for found in (*_in_cases(record, node), *_sorted(record, node), *_best(record, node)):
            looked_at += 1
            shown += [] if found is None else [found]
    for found in _chosen(record):
        looked_at += 1
        shown += [] if found is None else [found]
    told = [one for one in known if record.name.startswith(one.prefix) and _at(record.document, one.field)]
    shown += [
        Finding(record.name, one.field, RANKING, "own effects", "top k", one.why, basis="protocol")
        for one in told
    ]
    return Checked(RANKING, looked_at + len(told), tuple(shown))


def _shown(record: Record, field: str, cause: str, value: str, why: str, fields: int) -> Finding:
    return Finding(record.name, field, RANKING, cause, value, why, fields=fields)


def _in_cases(record: Record, node: Node) -> Iterator[Finding | None]:
    """The best site of each case, where the first of its top k is just that."""
    if not is_case_list(node):
        return
    for singles, top in SINGLES:
        both = [(case.get(singles), case.get(top)) for case in node.value if singles in case and top in case]
        if not both:
            continue
        hits = sum(_first_is_best(effects, curve) for effects, curve in both)
        if hits < len(both):
            yield None
            continue
        field = _summary_of(record.document, top) or node.below(0).below(top).pointer
        why = (
            f"the first of the top k is the best single site of the same case in all {hits} cases, so sites "
            "are ranked on the case that scores them"
        )
        yield _shown(record, field, "own effects", f"top k of {hits} cases", why, hits)


def _first_is_best(effects: Any, curve: Any) -> bool:
    if not isinstance(effects, dict) or not isinstance(curve, dict):
        return False
    first = number(curve.get("1"))
    each = [number(one.get(EFFECT) if isinstance(one, dict) else one) for one in effects.values()]
    known = [one for one in each if one is not None]
    return first is not None and len(known) >= 2 and abs(first - max(known)) <= ROUNDING


def _summary_of(document: Any, key: str) -> str | None:
    """Pointer to the figure over all cases: it is called as in a case, maybe with ``_mean``."""
    for node in walk(document):
        if node.path and node.path[-1] in (key, f"{key}_mean") and node.in_list() is None:
            return node.pointer
    return None


def _sorted(record: Record, node: Node) -> Iterator[Finding | None]:
    """A list that is called ranked, and is in the order of the score that it shows."""
    name = node.path[-1] if node.path else ""
    if not (isinstance(name, str) and name.endswith("_ranked") and is_case_list(node)):
        return
    for score in ("rec_mean", "mean"):
        scores = [number(one.get(score)) for one in node.value]
        known = [one for one in scores if one is not None]
        if len(known) < len(scores):
            continue
        if known != sorted(known, reverse=True):
            yield None
            continue
        why = f"the {len(known)} entries are in the order of {score}, the score that is shown for them"
        value = f"{plain(known[0])} first of {len(known)}"
        yield _shown(record, node.pointer, "ranked by its score", value, why, len(known))


def _best(record: Record, node: Node) -> Iterator[Finding | None]:
    """A best score that is the largest of a table beside it."""
    for key, value in node.mapping.items():
        best, word = number(value), key.rpartition("_")[2]
        if not key.startswith("best_") or best is None:
            continue
        # What stands after "by" is what the table is by, and not what is in it.
        tables = [
            node.below(name)
            for name in node.mapping
            if name != key and word in name.partition("_by_")[0].split("_")
        ]
        for table in tables:
            entries = _entries(table.value)
            if len(entries) >= 3 and best == max(entries):
                why = f"it is the largest of {len(entries)} in {table.pointer}, chosen by what is reported"
                value = f"{plain(best)}, best of {len(entries)}"
                yield _shown(record, node.below(key).pointer, "best of many", value, why, 1)
                break
        else:
            if tables:
                yield None


def _entries(value: Any) -> list[float]:
    """Numbers of a table by name, of a list, or of a list of (name, number)."""
    if isinstance(value, dict):
        entries = list(value.values())
    elif isinstance(value, list):
        entries = [one[1] if isinstance(one, list) and len(one) == 2 else one for one in value]
    else:
        return []
    return [found for one in entries if (found := number(one)) is not None]


def _chosen(record: Record) -> Iterator[Finding | None]:
    """Figures reported at a size that was chosen on the curve which they are taken from."""
    choice, curve, reported = CHOSEN
    for node in walk(record.document):
        sizes, curves, figures = (node.mapping.get(name) for name in (choice, curve, reported))
        if not (isinstance(sizes, dict) and isinstance(curves, dict) and isinstance(figures, dict)):
            continue
        taken = [
            name
            for name, size in sizes.items()
            if number(size) and curves.get(name, {}).get(str(size)) == figures.get(name)
        ]
        if not taken:
            yield None
            continue
        why = (
            f"for {len(taken)} of {len(sizes)} lines the figures are those of the curve at the smallest size "
            "that passed, and the size was chosen on the same cases"
        )
        value = f"{len(taken)} of {len(sizes)} lines"
        field = node.below(reported).pointer
        yield _shown(record, field, "chosen by its score", value, why, len(taken))


def _at(document: Any, pointer: str) -> bool:
    """Whether a document has something at a pointer."""
    for step in pointer.removeprefix("/").split("/"):
        if not isinstance(document, dict) or step not in document:
            return False
        document = document[step]
    return True
