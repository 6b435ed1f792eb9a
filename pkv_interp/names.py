"""Names that settings and the modules that act on them share; importing them must not import torch."""

import math
from collections.abc import Mapping
from typing import Literal, Protocol

from pkv_interp.errors import PkvError, short, suggestion

#: Part of a cache.
Part = Literal["K", "V", "KV"]
#: Where training examples have the field: before the rule, after it, or in both places.
Curriculum = Literal["early", "late", "mixed"]
#: What flips in a pair of prompts: the field's value, or the trigger of the rule.
PairKind = Literal["field", "polarity"]
#: Attention pattern of prompts that are edited: fields isolated, and the rule after them their link or not.
Pattern = Literal["isolated", "rule_linked"]
#: What stands before a chunk when it is precompiled.
Sink = Literal["none", "bos", "prefix"]
#: Fewest and most turns of an agent's episode.
EPISODE_TURNS = (4, 6)
#: What may stand after the ``@`` of an editing method: nothing, a count of tokens, or a share of them.
Amount = Literal["none", "count", "share"]


class Written(Protocol):
    """How an editing method is written."""

    @property
    def amount(self) -> Amount:
        """What may stand after ``@``."""
        ...

    @property
    def required(self) -> bool:
        """Whether it must."""
        ...


def method_amount(method: str, known: Mapping[str, Written]) -> tuple[str, float | None]:
    """Name and amount of an editing method as it is written, for example ``recompute@8``.

    Args:
        method: as it is written.
        known: methods by name.

    Raises:
        PkvError: an unknown method, or an amount that is missing, not wanted or not a number.
    """
    if not isinstance(method, str):
        raise PkvError(f"the editing method is {short(method)}, no text", suggestion("", known, "use one of"))
    name, at, written = method.partition("@")
    if name not in known:
        raise PkvError(f"there is no editing method '{name}'", suggestion(name, known, "use one of"))
    found = known[name]
    if not at:
        if found.required:
            example = "0.15" if found.amount == "share" else "8"
            raise PkvError(f"{name} needs a {found.amount} after '@'", f"write {name}@{example}")
        return name, None
    if found.amount == "none":
        raise PkvError(f"'{method}' has an amount and {name} takes none", f"write {name}")
    return name, _amount(method, written, found.amount)


def _amount(method: str, written: str, kind: Amount) -> float:
    if written == "all":
        return 1.0 if kind == "share" else math.inf
    try:
        number = float(written) if kind == "share" else int(written)
    except ValueError:
        number = -1
    if not 0 <= number <= (1 if kind == "share" else math.inf):
        wanted = "a share from 0 to 1" if kind == "share" else "a count of tokens, 0 or more, or all"
        raise PkvError(f"'{written}' in '{method}' is not {wanted}", f"write {wanted} after '@'")
    return number
