"""How a kind of text, prose or code, writes its errata, and how an answer stands after its cue."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from keyword import iskeyword

from pkv_interp.prompts.errata import ERRATA, UPDATES, check_wording, erratum_line

#: A sentence in prose: as it is.
AS_IT_IS = "{filler}"
#: Wordings with two names, by the one that settings know.
_SAME = {"disregard": "re_evaluate"}


@dataclass(frozen=True)
class Notation:
    """How a kind of text writes things. Prose is what all defaults describe.

    Attributes:
        is_code: lines stand exactly as they are given, without a capital at the beginning.
        identifiers: labels of fields are written as names of variables.
        sentence: how a sentence stands in it, as ``{filler}``: in code as a comment.
        errata: wordings of its own, by names of ``UPDATES``; code writes the others as sentences.
        before_answer: what stands between cue and answer; None is a blank, unless the cue has one.
        first_token: an answer is read by its first token; otherwise it must be a single one.
    """

    is_code: bool = False
    identifiers: bool = False
    sentence: str = AS_IT_IS
    errata: Mapping[str, str] = field(default_factory=dict, hash=False)
    before_answer: str | None = None
    first_token: bool = False

    def label(self, name: str) -> str:
        """The label of a field as it is written here."""
        return identifier(name) if self.identifiers else name

    def said(self, words: str) -> str:
        """A sentence as it stands here."""
        return self.sentence.format(filler=words)

    def erratum(self, name: str, value: str, wording: str) -> str:
        """The line that gives a field's value as it is now, ended by a line break.

        Args:
            name: label of the field.
            value: that the line gives.
            wording: a name in ``UPDATES`` or ``ERRATA``, or a text with ``{field}`` and ``{value}`` in it.

        Raises:
            PkvError: an unknown name, or a text that does not give the value.
        """
        known = {**UPDATES, **ERRATA}
        if not self.is_code or not isinstance(wording, str):
            return erratum_line(self.label(name), value, UPDATES.get(str(wording), wording))
        blanks = {"field": self.label(name), "value": value}
        own = self.errata.get(_SAME.get(wording, wording))
        if own is not None:
            return f"{own.format(**blanks)}\n"
        if wording in known:
            return f"{self.said(known[wording].format(**blanks))}\n"
        check_wording(wording)
        return f"{wording.format(**blanks)}\n"

    def written(self, answer: str, after: str) -> str:
        """An answer with what stands between it and the text that it comes after."""
        if self.before_answer is not None:
            return f"{self.before_answer}{answer}"
        return answer if after[-1:].isspace() else f" {answer}"


#: Sentences, and answers of one token after a blank.
PROSE = Notation()


def identifier(label: str) -> str:
    """A label as the name of a variable: "order status" as "order_status"."""
    name = re.sub(r"\W+", "_", label).strip("_")
    return name if name.isidentifier() and not iskeyword(name) else f"field_{name}".strip("_")
