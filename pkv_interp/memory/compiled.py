"""A memory whose blocks are prefilled: attached, updated, and never changed in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from transformers import PreTrainedModel

from pkv_interp.cache.compute import Runner
from pkv_interp.cache.window import Chunks
from pkv_interp.composing import Chunk
from pkv_interp.editing import Cost
from pkv_interp.errors import PkvError, short, suggestion
from pkv_interp.ids import TokenIds
from pkv_interp.memory import text
from pkv_interp.memory.block import CompiledBlock, written
from pkv_interp.memory.conversation import Conversation
from pkv_interp.models.identity import identity_of

#: Names under which a memory knows methods of the editing API.
ALIASES = {"in_place": "field_only", "recompile": "full_reprefill"}
#: Methods of the editing API that no memory is updated by.
REFUSED = {
    "stale": (
        "keeps the old value, so that the memory would say one thing and hold another",
        "keep it as it is",
    ),
    "oracle_patch": ("needs the prefill that it is meant to save", "use recompile"),
}


@dataclass(frozen=True, eq=False, repr=False)
class CompiledMemory:
    """One version of a memory. An update gives another version; this one stays as it is.

    Attributes:
        blocks: in the order in which they are attached.
        lineage: one object for all versions of a memory, by which a conversation knows them.
        cost: of the step that made this version.
        total: of all steps since the memory was written.
    """

    blocks: tuple[CompiledBlock, ...]
    lineage: object
    cost: Cost = Cost()
    total: Cost = Cost()

    def __repr__(self) -> str:
        return (
            f"CompiledMemory({len(self.settings)} settings, {len(self.blocks)} blocks, {self.length} tokens)"
        )

    @classmethod
    def of(
        cls, model: PreTrainedModel, tokenizer: Any, blocks: Sequence[text.Block], context: str
    ) -> CompiledMemory:
        """Prefill every block; ``Memory.precompile`` says what the arguments are."""
        drafts = [written(model, tokenizer, block, context) for block in blocks]
        check_length(Runner.of(model), sum(draft.length for draft in drafts))
        made = tuple(
            CompiledBlock(one.context.prefill(), context, one.start, identity_of(model)) for one in drafts
        )
        cost = sum((block.state.cost for block in made), Cost())
        return cls(made, object(), cost, cost)

    @property
    def settings(self) -> Mapping[str, str]:
        """The value of every setting, as the memory says last."""
        return {name: value for block in self.blocks for name, value in block.state.fields.items()}

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        """The columns of each block, as composing splices them."""
        return tuple(block.chunk for block in self.blocks)

    @property
    def ids(self) -> tuple[int, ...]:
        """Tokens of all blocks, one after another."""
        return tuple(token for block in self.blocks for token in block.ids)

    @property
    def length(self) -> int:
        """Number of these tokens."""
        return sum(block.length for block in self.blocks)

    @property
    def exact(self) -> bool:
        """Whether the columns of every block are those of a prefill of its text."""
        return all(block.state.exact for block in self.blocks)

    @property
    def runner(self) -> Runner:
        """The model that made it."""
        return self.blocks[0].state.context.runner

    @property
    def tokenizer(self) -> Any:
        """Of that model."""
        return self.blocks[0].state.context.renderer.tokenizer

    def attach(
        self, conversation: Conversation | str | TokenIds | None = None, *, seam: int = 0
    ) -> Conversation:
        """A conversation with this memory at its end: nothing is run for it but a seam.

        Args:
            conversation: or text or ids of what stands before the memory, which are prefilled; None for a
                conversation that begins with it, after what the tokenizer puts before every text (BOS).
            seam: first tokens of every block that are run again in their place.

        Raises:
            PkvError: the conversation is of another model, or has this memory already; the memory cannot be
                moved there (positions that are learned, or more than the model serves).
        """
        if not isinstance(conversation, Conversation):
            begun = () if conversation is None else conversation
            conversation = Conversation.begin(self.runner.model, self.tokenizer, begun)
        return conversation.attach(self, seam=seam)

    def update(
        self,
        setting: str,
        value: str,
        method: str = "recompile",
        *,
        question: str = "",
        cue: str = "",
        **options: Any,
    ) -> CompiledMemory:
        """Another version, in which a setting has another value: one edit, whatever it is attached to.

        Only the setting's own block is edited; the others have never read it. A conversation takes the new
        version over with ``Conversation.update``.

        Args:
            setting: its name.
            value: its new value.
            method: ``in_place``, ``erratum``, ``recompile`` or another name of the editing API, with an
                amount where it takes one (``recompute@16``).
            question: what ``auto`` asks of the memory, right after the block.
            cue: opens the answer that ``auto`` reads.
            **options: further settings of the method; a ``ranking`` has positions as they were when the block
                was computed, with ``blocks[i].start`` tokens before it.

        Raises:
            PkvError: there is no such setting or method; ``stale``; ``auto`` without a question; a value of
                another token length with a method that moves nothing; other weights than those that made it.
        """
        at = self._block_of(setting)
        name, _, amount = str(method).partition("@")
        if name in REFUSED:
            why, hint = REFUSED[name]
            raise PkvError(f"{name} {why}", hint)
        if name != "auto" and (question or cue):
            raise PkvError(f"{name} reads no decision, and a question or a cue was given", "leave it out")
        if name == "auto" and not (question or cue):
            raise PkvError(
                "auto looks at a decision, and none was named", "give question= or cue=, or another method"
            )
        self._check_model()
        block = self.blocks[at]
        asked = block.asked(question, cue) if name == "auto" else block
        called = ALIASES.get(name, name) + (f"@{amount}" if "@" in str(method) else "")
        made = asked.edited(setting, value, called, **options)
        return self._with(at, replace(made, state=replace(made.state, context=block.state.context)))

    def forget(self, setting: str) -> CompiledMemory:
        """Another version without a setting's line, and with no column that has read it.

        The block is run anew from its first token, with the value that every other setting of it has now.
        Text of a block that has no other setting goes to its neighbour, which is run anew then.

        Raises:
            PkvError: there is no such setting, its line gives another one as well, or nothing would be left.
        """
        at = self._block_of(setting)
        self._check_model()
        left = text.without(self.blocks[at].segments, setting)
        if any(segment.kind == "field" for segment in left):
            return self._with(at, self._anew(at, left))
        if len(self.blocks) == 1:
            raise PkvError(f"{short(setting)} is all that the memory holds", "detach the memory instead")
        fewer = replace(self, blocks=(*self.blocks[:at], *self.blocks[at + 1 :]), cost=Cost())
        if not any(segment.text.strip() for segment in left):
            return fewer
        last = at == len(fewer.blocks)
        beside = at - last
        own = fewer.blocks[beside].segments
        return fewer._with(beside, fewer._anew(beside, (*own, *left) if last else (*left, *own)))

    def _anew(self, at: int, segments: text.Block) -> CompiledBlock:
        """A block of other text in the place of one, run from its first token."""
        old = self.blocks[at]
        draft = written(self.runner.model, self.tokenizer, segments, old.context)
        return replace(old, state=draft.context.prefill(), start=draft.start)

    def _with(self, at: int, block: CompiledBlock) -> CompiledMemory:
        blocks = (*self.blocks[:at], block, *self.blocks[at + 1 :])
        made = replace(self, blocks=blocks, cost=block.state.cost, total=self.total + block.state.cost)
        check_length(self.runner, made.length)
        return made

    def _block_of(self, setting: str) -> int:
        for at, block in enumerate(self.blocks):
            if setting in block.state.fields:
                return at
        raise PkvError(f"the memory has no setting {short(setting)}", suggestion(str(setting), self.settings))

    def _check_model(self) -> None:
        if identity_of(self.runner.model) != self.blocks[0].identity:
            raise PkvError("the model's weights are not those that made the memory", "precompile it again")


def check_length(runner: Runner, length: int) -> None:
    """Refuse a memory that its own last token could not read.

    Args:
        runner: of the model.
        length: tokens of the memory.

    Raises:
        PkvError: more than the model has positions, or than any of its layers sees.
    """
    name, served = runner.positions.name, runner.positions.served
    if served is not None and length > served:
        raise PkvError(f"the memory has {length} tokens and {name} has {served} positions", "shorten it")
    windows = [window.size if isinstance(window, Chunks) else window for window in runner.windows]
    seen = [window for window in windows if window is not None]
    if seen and len(seen) == len(windows) and length > max(seen):
        raise PkvError(
            f"the memory has {length} tokens and no layer of {name} sees more than {max(seen)}",
            "shorten it, or use a model with a layer that sees all tokens",
        )
