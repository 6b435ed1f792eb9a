"""A JSON document as nodes that know where they are."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_FRACTION = re.compile(r"(\d+)\s*/\s*(\d+)")
_NUMERIC = re.compile(r"[+-]?\d+(\.\d+)?")


@dataclass(frozen=True, eq=False)
class Node:
    """A value and its place.

    Attributes:
        path: keys and indices that lead to it.
        value: what stands there.
        above: the node that it is in, None for the document.
    """

    path: tuple[str | int, ...]
    value: Any
    above: "Node | None"

    @property
    def pointer(self) -> str:
        """JSON pointer (RFC 6901); the document itself is ``/``, since an empty cell would say nothing."""
        steps = (str(part).replace("~", "~0").replace("/", "~1") for part in self.path)
        return "".join(f"/{step}" for step in steps) or "/"

    @property
    def name(self) -> str:
        """The nearest key that is a word: numbers (a layer, a share, an index) have the name above them."""
        words = (part for part in reversed(self.path) if isinstance(part, str))
        return next((word for word in words if not _NUMERIC.fullmatch(word)), "")

    @property
    def mapping(self) -> dict[str, Any]:
        """The value where it is a mapping, an empty one elsewhere."""
        return self.value if isinstance(self.value, dict) else {}

    def ancestors(self) -> Iterator["Node"]:
        """The nodes that it is in, from the nearest."""
        node = self.above
        while node is not None:
            yield node
            node = node.above

    def in_list(self) -> "Node | None":
        """The nearest list that it is in."""
        return next((node for node in self.ancestors() if isinstance(node.value, list)), None)

    def below(self, key: str | int) -> "Node":
        """The node of a key or index."""
        return Node((*self.path, key), self.value[key], self)


def walk(document: Any) -> Iterator[Node]:
    """Every node in the order of the document; a loop, because depth is for the file to choose."""
    waiting = [Node((), document, None)]
    while waiting:
        node = waiting.pop()
        yield node
        inner = node.value
        if isinstance(inner, dict):
            waiting += [node.below(key) for key in reversed(list(inner))]
        elif isinstance(inner, list):
            waiting += [node.below(index) for index in range(len(inner) - 1, -1, -1)]


def number(value: Any) -> float | None:
    """A finite number, None for anything else; yes and no are no numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def share(value: Any) -> float | None:
    """A number, also one that is written as ``"3/4"``."""
    if isinstance(value, str) and (found := _FRACTION.fullmatch(value.strip())):
        return int(found[1]) / int(found[2]) if int(found[2]) else None
    return number(value)


def count(value: Any) -> int | None:
    """A whole number of at least 1, or the length of a list of names."""
    if isinstance(value, list):
        return len(value) or None
    found = number(value)
    return int(found) if found is not None and found >= 1 and found == int(found) else None


def is_case_list(node: Node) -> bool:
    """Whether a node is a list of mappings, two or more."""
    return (
        isinstance(node.value, list)
        and len(node.value) >= 2
        and all(isinstance(one, dict) for one in node.value)
    )
