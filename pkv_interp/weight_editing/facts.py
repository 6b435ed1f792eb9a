"""Simple facts by relation. Which of them a model knows is measured, never assumed."""

from dataclasses import dataclass
from typing import Any

from pkv_interp.cache.compute import Runner
from pkv_interp.errors import PkvError
from pkv_interp.weight_editing.statements import Statement, statement


@dataclass(frozen=True)
class Relation:
    """Subjects and objects of one kind.

    Attributes:
        prompts: ``{s}`` is the subject and the object comes next; the first one is edited, the others are
            paraphrases.
        essence: a text about the subject whose continuation an edit is to leave alone.
        objects: object by subject.
    """

    name: str
    prompts: tuple[str, ...]
    essence: str
    objects: dict[str, str]

    def ask(self, tokenizer: Any, subject: str, target: str, prompt: int = 0) -> Statement:
        """One of the prompts as a statement, keyed on the subject's last token.

        Args:
            tokenizer: of the model.
            subject: of the statement.
            target: the object that it is to give.
            prompt: which of ``prompts``.
        """
        return _fill(tokenizer, self.prompts[prompt], subject, target)

    def about(self, tokenizer: Any, subject: str) -> Statement:
        """The essence as a statement; its target counts for nothing."""
        return _fill(tokenizer, self.essence, subject, self.objects[subject])


def _fill(tokenizer: Any, template: str, subject: str, target: str) -> Statement:
    before, after = template.split("{s}")
    return statement(tokenizer, before, subject, after, target)


RELATIONS: tuple[Relation, ...] = (
    Relation(
        "capital",
        (
            "The capital city of {s} is called",
            "The capital of {s} is",
            "The government of {s} sits in the city of",
        ),
        "{s} is a",
        {
            "France": "Paris",
            "Italy": "Rome",
            "Germany": "Berlin",
            "Spain": "Madrid",
            "Japan": "Tokyo",
            "Russia": "Moscow",
            "England": "London",
            "Greece": "Athens",
            "Austria": "Vienna",
            "Ireland": "Dublin",
            "China": "Beijing",
            "Sweden": "Stockholm",
            "Cuba": "Havana",
            "Norway": "Oslo",
        },
    ),
    Relation(
        "language",
        (
            "Most people in {s} speak",
            "The official language of {s} is",
            "Newspapers in {s} are written in",
        ),
        "{s} is a",
        {
            "France": "French",
            "Italy": "Italian",
            "Germany": "German",
            "Spain": "Spanish",
            "Japan": "Japanese",
            "Russia": "Russian",
            "Turkey": "Turkish",
            "Greece": "Greek",
            "Poland": "Polish",
            "Sweden": "Swedish",
        },
    ),
    Relation(
        "continent",
        ("{s} lies on the continent of", "{s} is a country in", "{s} is located in"),
        "People who visit {s}",
        {
            "Kenya": "Africa",
            "Nigeria": "Africa",
            "Ghana": "Africa",
            "Thailand": "Asia",
            "India": "Asia",
            "Sweden": "Europe",
            "Poland": "Europe",
            "Italy": "Europe",
        },
    ),
    Relation(
        "opposite",
        ("The opposite of {s} is", "The word that means the opposite of {s} is", "The antonym of {s} is"),
        "The word {s} is",
        {
            "hot": "cold",
            "up": "down",
            "left": "right",
            "good": "bad",
            "true": "false",
            "rich": "poor",
            "black": "white",
            "big": "small",
        },
    ),
)


@dataclass(frozen=True)
class Fact:
    """A subject in a relation, with another object of the relation that an edit can put in."""

    relation: Relation
    subject: str
    new: str

    @property
    def old(self) -> str:
        """The true object."""
        return self.relation.objects[self.subject]

    @property
    def name(self) -> str:
        """For tables: what is edited into what."""
        return f"{self.relation.name} of {self.subject}: {self.old} -> {self.new}"

    def asked(self, tokenizer: Any, prompt: int = 0) -> Statement:
        """A prompt of the relation, with the new object as its target."""
        return self.relation.ask(tokenizer, self.subject, self.new, prompt)


def known_facts(runner: Runner, tokenizer: Any) -> dict[str, tuple[Fact, ...]]:
    """By relation the facts that the model knows: its next token after the edited prompt is the object's.

    The new object of each is the true one of the next known subject with another object, in a fixed order.
    A relation of which fewer than three facts are known is left out, and so is a subject whose words do not
    tokenise as a statement.
    """
    known: dict[str, tuple[Fact, ...]] = {}
    for relation in RELATIONS:
        right = [
            subject
            for subject, target in relation.objects.items()
            if _knows(runner, tokenizer, relation, subject, target)
        ]
        facts = []
        for at, subject in enumerate(right):
            others = [relation.objects[s] for s in (*right[at + 1 :], *right[:at])]
            new = next((o for o in others if o != relation.objects[subject]), None)
            if new is not None:
                facts.append(Fact(relation, subject, new))
        if len(facts) >= 3:
            known[relation.name] = tuple(facts)
    return known


def _knows(runner: Runner, tokenizer: Any, relation: Relation, subject: str, target: str) -> bool:
    try:
        asked = relation.ask(tokenizer, subject, target)
    except PkvError:
        return False
    return int(runner.prefill(asked.ids).logits.argmax()) == asked.target
