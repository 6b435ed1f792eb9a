"""Values that take one token length, so that the prompts of a pair align."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from pkv_interp.errors import PkvError
from pkv_interp.tasks.scenarios import Family


def aligned_values(family: Family, tokenizer: Any) -> list[tuple[str, str]]:
    """Pairs of the family's values with one token length, as they stand in a prompt.

    Raises:
        PkvError: no two values share a length; the line lists every value with its length.
    """
    length = {value: _length(family, value, tokenizer) for value in family.values}
    pairs = [(a, b) for a, b in combinations(family.values, 2) if length[a] == length[b]]
    if not pairs:
        listed = ", ".join(f"{v} ({n} tokens)" for v, n in length.items())
        raise PkvError(
            f"family '{family.name}' has no two values of one token length: {listed}",
            "add a value that tokenises like another one",
        )
    return pairs


def check_values(family: Family, values: Sequence[str], tokenizer: Any) -> None:
    """Check that user-chosen values exist in the family and tokenise to one length.

    Raises:
        PkvError: unknown value, or lengths differ; the line lists candidates of equal length.
    """
    candidates = ["/".join(pair) for pair in aligned_values(family, tokenizer)]
    lengths = {value: _length(family, value, tokenizer) for value in values}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"'{v}' is {n} tokens" for v, n in lengths.items())
        raise PkvError(
            f"the values of '{family.name}' differ in token length ({listed})",
            f"choose values of one length, for example {', '.join(candidates)}",
        )


def _length(family: Family, value: str, tokenizer: Any) -> int:
    """Tokens of a value with what stands before it."""
    return len(tokenizer(f"{family.before_value}{value}", add_special_tokens=False)["input_ids"])
