"""What adapters for programmable caches are trained on beside the gate's schedule, as settings say it."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pkv_interp.training.schedule import Share

#: What is learnt at the decision: the answer, or the teacher's distribution there, over both actions or over
#: the vocabulary.
Objective = Literal["answers", "distil_actions", "distil_vocabulary"]
#: What is trained: matrices of low rank all over the model, or the embedding of the link token alone.
Trained = Literal["adapter", "link_tokens"]
#: Where a reader's adapter acts: at the decision token alone, from the last block on, or everywhere.
Active = Literal["decision", "question", "all"]


class Programmable(BaseModel):
    """Training under isolation and blindness, mixed with plain prompts so that both work.

    Attributes:
        kind: names this course.
        isolated: share of pairs whose field is isolated.
        blind: share of pairs whose rule's block is blind to the rest; the field may be isolated as well.
        all_fields: share of isolated pairs whose other fields are isolated, too.
        links: link tokens after each rule, where the field stands before it; ``rule``: the rule itself is
            the link.
        objective: the answers alone, or distillation of the adapter that training starts from.
        read_back: share of prompts in which the answer opens with the field's value, and the action follows
            it; where neither field nor rule sees the other, and nothing is a link, that share is all.
        trained: everything else stays as training starts from it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["programmable"] = "programmable"
    isolated: Share = 0.6
    blind: Share = 0.25
    all_fields: Share = 0.5
    links: Annotated[int, Field(strict=True, ge=0, le=16)] | Literal["rule"] = 0
    objective: Objective = "answers"
    read_back: Share = 0.0
    trained: Trained = "adapter"

    @property
    def link_tokens(self) -> int:
        """Link tokens that are written after a rule."""
        return 0 if self.links == "rule" else self.links

    @property
    def facts(self) -> dict[str, Any]:
        """What the weights after a step depend on, as JSON holds it.

        What came later is told where it is not what went without saying, so that checkpoints of before go on.
        """
        later = {"read_back": 0.0, "trained": "adapter"}
        return {k: v for k, v in self.model_dump(mode="json").items() if later.get(k) != v}

    @model_validator(mode="after")
    def _links_are_read(self) -> Self:
        if self.links and not self.isolated:
            raise ValueError("links read isolated fields, and no field is isolated")
        if self.trained == "link_tokens" and not self.link_tokens:
            raise ValueError("link tokens are to be trained, and links are none")
        return self


class Reader(BaseModel):
    """Training on caches in which columns were replaced after the prefill; no attention pattern.

    Attributes:
        kind: names this course.
        active: where the adapter acts; before that the model that training starts from writes the cache.
        edited: share of pairs whose field has the other value's columns; the answer is the other value's.
        clean: share of untouched ones.
        refreshed: share whose field is refreshed with its own value.
        bystander: share in which another field has another value's columns, and the answer stays.
        random: share in which columns after the field are replaced, as many, by those of the other value's
            prompt, and the answer is that value's: a control.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["reader"] = "reader"
    active: Active = "all"
    edited: Share = 0.4
    clean: Share = 0.4
    refreshed: Share = 0.1
    bystander: Share = 0.1
    random: Share = 0.0

    @property
    def shares(self) -> dict[str, float]:
        """Shares by what is done to a pair."""
        names = ("edited", "clean", "refreshed", "bystander", "random")
        return {name: getattr(self, name) for name in names}

    @model_validator(mode="after")
    def _all_of_it(self) -> Self:
        if abs(sum(self.shares.values()) - 1.0) > 1e-6:
            raise ValueError(f"the shares of a reader sum to {sum(self.shares.values()):g}, and not to 1")
        return self


class Memories(BaseModel):
    """Training on lists of settings, with a rule about one or two of them, mixed with the gate's own prompts.

    Attributes:
        kind: names this course.
        lines: settings of the shortest list, and of the longest one at a stage's full breadth.
        two: share of questions about two settings, where so many have the value that is asked for.
        late: share of lists that stand after what was said.
        pairs: of questions about one list.
        looked_up: share of questions that ask for a value and have no rule.
        read_back: share of rules whose answer opens with the settings that they name, a line each.
        kept: share of draws that are two of the stage's own examples, to keep what was learned before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["memory"] = "memory"
    lines: tuple[
        Annotated[int, Field(strict=True, ge=2, le=300)], Annotated[int, Field(strict=True, ge=2, le=300)]
    ] = (4, 40)
    two: Share = 0.5
    late: Share = 0.6
    pairs: Annotated[int, Field(strict=True, ge=1, le=64)] = 3
    looked_up: Share = 0.4
    read_back: Share = 0.0
    kept: Share = 0.35

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.lines[0] > self.lines[1]:
            raise ValueError(f"lists of {self.lines[0]} settings at least and {self.lines[1]} at most")
        return self


#: A course, told by its kind.
AnyCourse = Annotated[Programmable | Reader | Memories, Field(discriminator="kind")]
