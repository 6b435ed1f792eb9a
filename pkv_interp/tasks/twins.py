"""Same-conclusion twins: the same decision about another record, for margin shifts by the patch itself."""

from typing import Any, Unpack

from pkv_interp.errors import PkvError
from pkv_interp.tasks.cases import Case, field_case
from pkv_interp.tasks.recipes import RecipeOptions
from pkv_interp.tasks.scenarios import default_scenarios

_TRIES = 64


def same_conclusion_twin(case: Case, index: int, tokenizer: Any, **recipe: Unpack[RecipeOptions]) -> Case:
    """The field case with another record number and other bystander fields, aligned with ``case`` by token.

    Values, rule, fillers, action order and menu are those of ``case``, so a patch from the twin should not
    change the decision: its margin shift is the noise floor of patches between prompts.

    Args:
        case: a field pair.
        index: of its instance.
        tokenizer: a fast Hugging Face tokenizer.
        recipe: what ``case`` was built with (`field_case`).

    Raises:
        PkvError: no redraw has the length and spans of ``case``.
    """
    family = (recipe.get("scenarios") or default_scenarios()).choose([case.family])[0]
    for redraw in range(1, _TRIES + 1):
        recipe["redraw"] = redraw
        twin = field_case(family, index, tokenizer, **recipe)
        aligned = len(twin.clean) == len(case.clean) and twin.clean.spans == case.clean.spans
        if aligned and twin.instance != case.instance:
            return twin
    raise PkvError(
        f"no same-conclusion twin of '{case.instance}' has its length under this tokenizer",
        "choose another seed",
    )
