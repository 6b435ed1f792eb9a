"""Field pairs whose prompts state the field once more at the end, and the prompt that is corrected there.

An erratum is a line after everything but the question. In a pair both prompts have one and say the same
twice; the corrected prompt has the old value in its field and the new one in that line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

from pkv_interp.errors import PkvError
from pkv_interp.prompts.segments import Prompt
from pkv_interp.tasks.cases import Case, field_instance, paired
from pkv_interp.tasks.recipes import RecipeOptions, Update
from pkv_interp.tasks.scenarios import Family


@dataclass(frozen=True)
class Corrected:
    """One wording of the line.

    Attributes:
        wording: its name.
        case: clean says the new value in both places, corrupt the old one.
        edited: corrupt's field and clean's line; of the same length, with the same spans.
    """

    wording: str
    case: Case
    edited: Prompt


@dataclass(frozen=True)
class Corrections:
    """All wordings of the line for one instance."""

    instance: str
    of: tuple[Corrected, ...]


def corrections(
    family: Family, index: int, tokenizer: Any, lines: Sequence[str], **recipe: Unpack[RecipeOptions]
) -> Corrections:
    """The instance of `field_case`, with a line about its field in each wording.

    Args:
        family: one of the recipe's scenarios.
        index: of the instance in its family.
        tokenizer: a fast Hugging Face tokenizer.
        lines: wordings of the line, names in `UPDATES`.
        recipe: the fields of a `Recipe`; ``seed`` must be given.

    Raises:
        PkvError: a wording is unknown, or prompts do not align under this tokenizer.
    """
    instance, (new, old) = field_instance(family, index, tokenizer, **recipe)

    def prompt(value: str, stated: str, wording: str) -> Prompt:
        messages = instance.messages(value=value, trigger=new, update=Update(wording, stated))
        return instance.prompt(messages, tokenizer)

    found = []
    for wording in lines:
        case = paired(instance, "field", (prompt(new, new, wording), prompt(old, old, wording)), tokenizer)
        edited = prompt(old, new, wording)
        if len(edited) != len(case.clean) or edited.spans != case.clean.spans:
            raise PkvError(
                f"the corrected prompt of '{instance.name}' does not align with its pair",
                "choose values that take equally many tokens after any word",
            )
        found.append(Corrected(wording, case, edited))
    return Corrections(instance.name, tuple(found))
