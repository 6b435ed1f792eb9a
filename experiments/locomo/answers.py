"""How an answer is scored against the gold one."""

import re
import string
from collections import Counter
from dataclasses import dataclass

from experiments.locomo.reading import ADVERSARIAL, Question

#: Token F1 from which an answer counts as right.
ENOUGH = 0.5
#: What an answer to an adversarial question has to say.
_UNKNOWN = ("no information", "not mentioned", "not mention", "unknown", "not specified", "not stated")
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True)
class Score:
    """One answer against the gold one.

    Attributes:
        f1: of their tokens.
        contained: the gold answer stands in it.
        inside: it stands in the gold answer, which the published rule counts as well.
    """

    f1: float
    contained: bool
    inside: bool

    @property
    def right(self) -> bool:
        """By containment or token F1."""
        return self.contained or self.f1 >= ENOUGH

    @property
    def right_published(self) -> bool:
        """By the published rule, to which a piece of the gold answer is enough."""
        return self.right or self.inside


def words(text: str) -> list[str]:
    """Words in lower case, without punctuation and articles; these alone where nothing else is there."""
    plain = text.lower().translate(_PUNCTUATION)
    return _ARTICLES.sub(" ", plain).split() or plain.split() or text.split()


def token_f1(answer: str, gold: str) -> float:
    """Harmonic mean of precision and recall of the answer's words, each word as often as it occurs."""
    mine, theirs = words(answer), words(gold)
    shared = sum((Counter(mine) & Counter(theirs)).values())
    return 2.0 * shared / (len(mine) + len(theirs)) if shared else 0.0


def score(answer: str, question: Question) -> Score:
    """An answer to a question.

    Args:
        answer: what the model wrote.
        question: with its gold answer.
    """
    if question.category == ADVERSARIAL:
        said = any(phrase in answer.lower() for phrase in _UNKNOWN)
        return Score(float(said), said, False)
    mine, gold = words(answer), words(question.gold)
    return Score(token_f1(answer, question.gold), _within(gold, mine), _within(mine, gold))


def _within(part: list[str], whole: list[str]) -> bool:
    """Whether words stand in others one after another; none at all stand nowhere."""
    n = len(part)
    return n > 0 and any(whole[i : i + n] == part for i in range(len(whole) - n + 1))
