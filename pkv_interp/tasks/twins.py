"""Same-conclusion twins: the same decision about another record, to see what patches move by themselves."""

from collections.abc import Sequence
from typing import Any

from pkv_interp.errors import PkvError
from pkv_interp.tasks.cases import Case, Style, field_case
from pkv_interp.tasks.families import BY_NAME

_TRIES = 64


def same_conclusion_twin(
    case: Case,
    index: int,
    tokenizer: Any,
    *,
    seed: int,
    style: Style,
    wordings: Sequence[str],
    values: tuple[str, str] | None = None,
) -> Case:
    """The field case with another record number and other bystander fields, aligned with ``case`` by token.

    Values, rule, fillers, action order and menu are those of ``case``, so a patch from the twin carries no
    news about the decision: what it moves is the noise floor of patches between prompts.

    Args:
        index, seed, style, wordings, values: what ``case`` was built with (`field_case`).

    Raises:
        PkvError: no redraw has the length and spans of ``case``.
    """
    for redraw in range(1, _TRIES + 1):
        twin = field_case(
            BY_NAME[case.family],
            index,
            tokenizer,
            seed=seed,
            style=style,
            wordings=wordings,
            values=values,
            redraw=redraw,
        )
        aligned = len(twin.clean) == len(case.clean) and twin.clean.spans == case.clean.spans
        if aligned and twin.instance != case.instance:
            return twin
    raise PkvError(
        f"no same-conclusion twin of '{case.instance}' has its length under this tokenizer",
        "choose another seed",
    )
