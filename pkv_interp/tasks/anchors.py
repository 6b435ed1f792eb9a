"""Places of a prompt that are found again in other instances of the same family, token by token."""

from collections.abc import Sequence
from itertools import groupby

from pkv_interp.prompts.segments import Prompt

#: Kinds whose text depends on the wording of the rule.
_WORDED = frozenset({"rule", "trigger", "action"})


def site_anchors(prompt: Prompt, wording: str) -> tuple[str, ...]:
    """One name per token, unique in its prompt: kind, which run of that kind, and how far from the run's end.

    A run is a stretch of tokens of one kind; runs and tokens are counted from the end, so that values, record
    numbers and fillers of other lengths earlier in the prompt shift nothing. Tokens of the rule carry the
    wording, because another one puts other words there. `site_labels` are coarser and hold across families.
    """
    names = [""] * len(prompt)
    seen: dict[str, int] = {}
    end = len(prompt)
    for kind, run in groupby(reversed(prompt.kinds)):
        size = len(list(run))
        number = seen.get(kind, 0)
        seen[kind] = number + 1
        prefix = f"{kind}[{wording}]" if kind in _WORDED else kind
        for offset in range(size):
            names[end - 1 - offset] = f"{prefix}.{number}-{offset}"
        end -= size
    return tuple(names)


def token_class(token: str) -> str:
    """``"newline"``, ``"punctuation"``, ``"number"`` or ``"word"``, by what the token's text holds."""
    if "\n" in token:
        return "newline"
    if any(c.isdigit() for c in token):
        return "number"
    return "word" if any(c.isalpha() for c in token) else "punctuation"


def token_classes(tokens: Sequence[str]) -> tuple[str, ...]:
    """The class of each token; newlines and punctuation together are the delimiters."""
    return tuple(token_class(t) for t in tokens)
