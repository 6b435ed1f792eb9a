"""The notes by what their tokens are, and the paths by which news of the field can reach them."""

from dataclasses import dataclass

from pkv_interp.interventions import Knockout
from pkv_interp.measure.pairs import PairRun
from pkv_interp.tasks import Case
from pkv_interp.tasks.anchors import token_classes

#: Kinds of the tokens that a statement of the rule is made of.
_RULE = frozenset({"rule", "trigger", "action"})


def notes_of(case: Case) -> tuple[int, ...]:
    """Positions after the changed span and before the decision token."""
    return tuple(range(case.after_change, case.clean.decision))


def note_groups(case: Case) -> dict[str, tuple[int, ...]]:
    """The notes and their parts: the rule's action words, the same words elsewhere, delimiters, the rest.

    ``actions``, ``menu``, ``delimiters`` and ``others`` share out the notes; empty ones are left out. Tokens
    of the chat template are others, whatever they are made of.
    """
    prompt, notes = case.clean, notes_of(case)
    words = {word.strip() for word in case.actions}
    classes = token_classes(prompt.tokens)
    found: dict[str, list[int]] = {"actions": [], "menu": [], "delimiters": [], "others": []}
    for at in notes:
        if prompt.kinds[at] == "action":
            found["actions"].append(at)
        elif prompt.tokens[at].strip() in words:
            found["menu"].append(at)
        elif prompt.kinds[at] != "template" and classes[at] in ("newline", "punctuation"):
            found["delimiters"].append(at)
        else:
            found["others"].append(at)
    parts = {name: tuple(positions) for name, positions in found.items() if positions}
    return {"notes": notes, **parts}


@dataclass(frozen=True)
class Tokens:
    """Positions of a field pair's prompts by their part in the paths.

    Attributes:
        field: the changed span.
        rule: the tokens of the rule, wherever it stands.
        between: after the field, before the rule has ended, and no part of it.
        later: after both field and rule, before the question.
        question: the question and all that follows it before the decision token.
        decision: the decision token.
    """

    field: tuple[int, ...]
    rule: tuple[int, ...]
    between: tuple[int, ...]
    later: tuple[int, ...]
    question: tuple[int, ...]
    decision: int

    @property
    def reading(self) -> tuple[int, ...]:
        """The rule's tokens that stand after the field and so can read it."""
        return tuple(at for at in self.rule if at > self.field[-1])


def tokens_of(pair: PairRun) -> Tokens:
    """The tokens of a pair; without a question all that follows the rule is ``later``."""
    prompt, notes = pair.case.clean, pair.notes
    rule = tuple(at for at, kind in enumerate(prompt.kinds) if kind in _RULE)
    end = max([pair.changed[-1], *rule])
    asked = prompt.spans.get("question", (prompt.decision, prompt.decision))[0]
    return Tokens(
        field=pair.changed,
        rule=rule,
        between=tuple(at for at in notes if at <= end and at not in set(rule)),
        later=tuple(at for at in notes if end < at < asked),
        question=tuple(at for at in notes if at > end and at >= asked),
        decision=prompt.decision,
    )


def paths(found: Tokens) -> dict[str, Knockout]:
    """What closes each path from the field to the decision; paths that a prompt does not have are left out.

    ``rule_field``: the rule's tokens may not see the field; ``between_field`` and ``later_field``: those
    between and those after both, the question with them; ``decision_field``: the decision itself.
    ``later_rule`` and ``question_rule``: tokens after the rule, up to the question and from it on, may not
    see the rule.
    """
    closing = {
        "rule_field": (found.reading, found.field),
        "between_field": (found.between, found.field),
        "later_field": (found.later + found.question, found.field),
        "decision_field": ((found.decision,), found.field),
        "later_rule": (found.later, found.rule),
        "question_rule": (found.question, found.rule),
    }
    return {
        name: Knockout(seen, queries=queries) for name, (queries, seen) in closing.items() if queries and seen
    }
