"""Names for positions that mean the same in prompts of different families, wordings and lengths."""

from collections import Counter
from collections.abc import Sequence

from pkv_interp.prompts.segments import Prompt

#: Spans whose tokens are told apart by their distance from the span's end.
_NAMED = ("conversation", "question", "decision")


def site_labels(prompt: Prompt) -> tuple[str, ...]:
    """One label per token, so that a site ranked on discovery prompts can be found again in held-out ones.

    The rule's action words are ``action.first`` and ``action.last`` in the order of the text; conversation
    and question tokens are labelled by distance from their span's end (0 is the last token), the template
    between question and cue by distance from the cue, other rule tokens by whether they end the rule
    (``rule.stop``, ``rule.newline``), all others by their kind alone. Of a researcher's own pair nothing is
    known but where its change ends: tokens after it are labelled by distance from the prompt's end.
    """
    labels = list(prompt.kinds)
    if "change" in prompt.spans:
        for i in range(prompt.spans["change"][1], len(labels)):
            labels[i] = f"{labels[i]}-{len(labels) - 1 - i}"
    actions = sorted(span for name, span in prompt.spans.items() if name in ("action_act", "action_other"))
    for order, (start, end) in zip(("first", "last"), actions, strict=False):
        labels[start:end] = [f"action.{order}"] * (end - start)
    for name, (start, end) in prompt.spans.items():
        if name in _NAMED:
            for i in range(start, end):
                labels[i] = f"{name}-{end - 1 - i}"
        elif name == "rule":
            for i in range(start, end):
                if prompt.kinds[i] == "rule":
                    labels[i] = "rule.stop" if prompt.tokens[i].strip() in {".", ".\n"} else labels[i]
    if "rule" in prompt.spans:
        after = prompt.spans["rule"][1]
        if after < len(labels) and prompt.tokens[after].startswith("\n"):
            labels[after] = "rule.newline"
    if "question" in prompt.spans and "decision" in prompt.spans:
        for i in range(prompt.spans["question"][1], prompt.spans["decision"][0]):
            labels[i] = f"template-{prompt.spans['decision'][0] - 1 - i}"
    return tuple(labels)


def positions_of(prompt: Prompt, labels: set[str], start: int = 0) -> tuple[int, ...]:
    """Positions from ``start`` to before the decision token that carry one of the labels."""
    named = site_labels(prompt)
    return tuple(i for i in range(start, prompt.decision) if named[i] in labels)


def single_labels(prompt: Prompt, start: int) -> set[str]:
    """Labels that exactly one position from ``start`` to before the decision token carries."""
    counts = Counter(site_labels(prompt)[start : prompt.decision])
    return {label for label, count in counts.items() if count == 1}


def positions_by_label(prompt: Prompt, labels: Sequence[str], start: int) -> tuple[int, ...]:
    """The first position from ``start`` on of each label, in the order of ``labels``."""
    named = site_labels(prompt)
    return tuple(named.index(label, start) for label in labels)
