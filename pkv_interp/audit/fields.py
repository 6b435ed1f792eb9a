"""Intervals as they stand in records: in a list of two ends, in two keys, or as a lower bound alone."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pkv_interp.audit.samples import sample_of
from pkv_interp.audit.scope import sample_size
from pkv_interp.audit.tree import Node, number, walk

#: Names of shares of yes and no, whole words of a key.
_SHARE = re.compile(r"P_\w+|stable|(\w+_)?(acc|accuracy|agree|agreement|correct|rate|success)(_\w+)?")
#: Names of arms, which stand for their share of right answers where an interval is beside them.
_ARMS = ("full", "precompiled", "shifted")
#: Stems of lower bounds, each with the share that it bounds.
_LOWER = {"dec_agree": "dec_agree", "agree": "agree_oracle", "correct": "correct", "": "stable"}


@dataclass(frozen=True, eq=False)
class Interval:
    """An interval with the figure that it is of.

    Attributes:
        node: the mapping that both stand in.
        field: pointer to the interval.
        name: of the figure.
        value: of the figure; the middle of the interval where the record gives none beside it.
        low, high: ends; ``high`` is the value itself where only a lower bound is given.
        n: cases, None where the record does not say.
        sample: values of the cases, None where the record does not hold them.
        one_sided: only a lower bound is given.
    """

    node: Node
    field: str
    name: str
    value: float
    low: float
    high: float
    n: int | None
    sample: tuple[float, ...] | None = None
    one_sided: bool = False

    @property
    def is_share(self) -> bool:
        """Whether the figure is a share of yes and no, as far as its name says."""
        return is_share(self.name) or self.name in _ARMS


def is_share(name: str) -> bool:
    """Whether a name is that of a share of yes and no."""
    return _SHARE.fullmatch(name) is not None


def intervals(document: object) -> list[Interval]:
    """Every interval of a document, in its order."""
    return [interval for node in walk(document) for interval in _intervals(node)]


def _intervals(node: Node) -> Iterator[Interval]:
    inner = node.mapping
    for key, value in inner.items():
        if not _is_interval_key(key) or not isinstance(value, list) or len(value) != 2:
            continue
        low, high = number(value[0]), number(value[1])
        if low is None or high is None:
            continue
        name, figure = _figure(node, key)
        middle = (low + high) / 2
        yield _made(node, key, name, middle if figure is None else figure, (low, high))
    low, high = number(inner.get("lo")), number(inner.get("hi"))
    if low is not None and high is not None:
        name = next((key for key in inner if number(inner[key]) is not None and is_share(key)), node.name)
        figure = number(inner.get(name))
        yield _made(node, "lo", name, (low + high) / 2 if figure is None else figure, (low, high))
    elif "hi" not in inner:
        yield from _lower_bounds(node)


def _lower_bounds(node: Node) -> Iterator[Interval]:
    for stem, name in _LOWER.items():
        key = f"{stem}_lo" if stem else "lo"
        low, value = number(node.mapping.get(key)), number(node.mapping.get(name))
        if low is not None and value is not None:
            yield _made(node, key, name, value, (low, value), one_sided=True)


def _made(
    node: Node, key: str, name: str, value: float, ends: tuple[float, float], *, one_sided: bool = False
) -> Interval:
    return Interval(
        node=node,
        field=node.below(key).pointer,
        name=name,
        value=value,
        low=ends[0],
        high=ends[1],
        n=sample_size(node),
        sample=None if one_sided else sample_of(node, key, value),
        one_sided=one_sided,
    )


def _is_interval_key(key: str) -> bool:
    return key == "ci" or key.endswith("_ci") or key.startswith("ci_")


def _figure(node: Node, key: str) -> tuple[str, float | None]:
    """Name and value of what an interval is of."""
    inner = node.mapping
    stem = key.removesuffix("_ci").removeprefix("ci_").removesuffix("_boot") if key != "ci" else ""
    if not stem:
        for name in inner:
            if name in ("mean", "p") or name.startswith("P_"):
                return (node.name if name == "mean" else name), number(inner[name])
        return node.name, None
    for name in (stem, f"{stem}_acc", f"{stem}_mean", f"{stem}_correct", f"{stem}_diff", f"P_{stem}"):
        if number(inner.get(name)) is not None:
            return name, number(inner[name])
    ending = (name for name in inner if name.endswith(f"_{stem}") and number(inner[name]) is not None)
    name = next(ending, stem)
    return name, number(inner.get(name))
