"""Settings of the experiment on memories."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from pkv_interp.plain import LONGEST_LIST
from pkv_interp.run.editing_settings import known_methods
from pkv_interp.run.settings import ExperimentSettings, Model
from pkv_interp.run.values import (
    Count,
    CountOrNone,
    Draws,
    Name,
    ShareOrNone,
    Sizes,
    Switch,
    Threshold,
    Tokens,
    TokensOrNone,
    rising,
)

#: One word at once, or after the settings of the question are stated, each as the cache has it.
Readout = Literal["direct", "read_back"]
#: Half width of the region of equivalence of accuracies, as a share; set before anything was measured.
MARGIN = 0.05
#: Level of each test of it.
ALPHA = 0.05
#: Names that a memory has of its own for methods of the editing API, and those that no memory is updated by,
#: as ``pkv_interp.memory`` has them: to import it here would import torch.
MEMORY_METHODS = {"in_place": "field_only", "recompile": "full_reprefill"}
NOT_FOR_MEMORIES = {
    "stale": "keeps the old value, and is measured in any event",
    "oracle_patch": "needs the prefill that it is meant to save",
}


def _of_memories(names: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse what no memory is updated by; a memory has names of its own for two methods.

    Raises:
        ValueError: as pydantic wants it.
        PkvError: there is no such method, or its amount is wrong.
    """
    for name in (name.partition("@")[0] for name in names):
        if name in NOT_FOR_MEMORIES:
            raise ValueError(f"{name} {NOT_FOR_MEMORIES[name]}")
    known_methods(tuple(MEMORY_METHODS.get(name, name) for name in names))
    return names


def _plain(name: str) -> str:
    """As `_of_memories`; ``auto`` looks at a question, and an agent's change comes before one is asked."""
    if _of_memories((name,)) == ("auto",):
        raise ValueError("auto looks at a question, and a setting changes before one is asked")
    return name


#: Methods of a memory's ``update``, each once.
Edits = Annotated[tuple[Name, ...], Field(min_length=1, max_length=64), AfterValidator(_of_memories)]
#: One of them that needs nothing but the setting and its value.
Edit = Annotated[Name, AfterValidator(_plain)]
#: Numbers of tokens of a seam, rising.
Seams = Annotated[tuple[TokensOrNone, ...], Field(max_length=LONGEST_LIST)]


class MemorySettings(ExperimentSettings):
    """Settings of this experiment; configs/memory.yaml says what each means."""

    model: Model = Field(default="smollm2-135m-memory")  # pyright: ignore[reportAssignmentType]
    personas: Count = 8
    sizes: Sizes = (24, 60, 120)
    relevant: Sizes = (1, 2, 4)
    each: Count = 1
    n_turns: CountOrNone = 4
    chat: Switch = True
    read_back: Switch = True
    cot_personas: CountOrNone = 2
    cot_tokens: Tokens = 48
    seams: Seams = (0, 1, 2, 4, 8)
    edit_relevant: Sizes = (1, 2)
    edits: Edits = ("in_place", "erratum", "recompile", "recompute@4", "recompute@16", "auto")
    blocks: Sizes = (1, 2, 4, 8, 16)
    block_size: Count = 60
    block_personas: Count = 6
    reference_size: Count = 28
    reference_seams: Seams = (0, 4)
    agents: Count = 3
    agent_turns: Count = 12
    decide_every: Count = 3
    edit_rate: ShareOrNone = 0.25
    agent_relevant: Count = 1
    agent_edit: Edit = "in_place"
    amounts: Sizes = (1, 4, 16, 64)
    sweep_personas: Count = 3
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name in ("seams", "reference_seams"):
            if rising(getattr(self, name))[0] != 0:
                raise ValueError(f"{name} begin with another seam than 0, the plain splice")
        if self.personas < 2:
            raise ValueError("one persona was asked for, and intervals are over personas")
        need = 2 * max(self.relevant[-1], self.edit_relevant[-1], self.agent_relevant + 2)
        if self.sizes[0] < need:
            raise ValueError(f"half of {self.sizes[0]} settings are on, and {need // 2} of them have to be")
        if self.blocks[-1] > self.block_size:
            raise ValueError(f"{self.block_size} settings make no {self.blocks[-1]} blocks")
        if 2 * self.edit_relevant[-1] > self.block_size:
            raise ValueError(
                f"half of {self.block_size} settings of a memory in blocks are on, and a question is about "
                f"{self.edit_relevant[-1]}"
            )
        if self.reference_size < 2:
            raise ValueError("reference_size is 1, and a reference is cut out of two settings at least")
        if self.decide_every > self.agent_turns:
            raise ValueError(f"no turn of {self.agent_turns} is the one in {self.decide_every} that decides")
        return self

    def remarks(self) -> tuple[str, ...]:
        """See the base class."""
        there = (self.personas, "personas")
        return self.more_than(agents=there, sweep_personas=there, cot_personas=there)

    @property
    def readout(self) -> Readout:
        """How every part but the placement is answered."""
        return "read_back" if self.read_back else "direct"

    @property
    def size(self) -> int:
        """Settings of the personas of all parts but the placement, the blocks and the cross-references."""
        return self.sizes[0]
