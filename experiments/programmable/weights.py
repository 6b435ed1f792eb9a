"""The models that are compared, by role; beside the run's own one is kept at a time."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.programmable.adapters import AdapterChoice
from experiments.programmable.settings import BASE, GATE, ProgrammableSettings
from pkv_interp.engine import Engine
from pkv_interp.models.load import LoadedModel, load_adapted
from pkv_interp.training import chat
from pkv_interp.training.evaluation import chat_loss
from pkv_interp.training.tokens import encode_chat

if TYPE_CHECKING:
    from pkv_interp.run.session import Session


@dataclass(frozen=True)
class Reply:
    """A held-out chat prompt and the untrained model's reply."""

    prompt: str
    reply: str


@dataclass(frozen=True)
class Replies:
    """Held-out chats."""

    chats: list[Reply]


@dataclass(frozen=True)
class ChatLoss:
    """Mean cross-entropy of held-out replies, in nats per token, and how many replies."""

    loss: float
    chats: int


class Weights:
    """Loads each role's model when it is first asked for."""

    def __init__(self, session: "Session[ProgrammableSettings]") -> None:
        """Hold the session; nothing is loaded yet."""
        self.session = session
        self._kept: tuple[str, Engine] | None = None

    @property
    def roles(self) -> tuple[str, ...]:
        """Those that there are weights of: the run's model is the gate's role, adapted or not."""
        settings = self.session.settings
        base = (BASE,) if settings.base and settings.model.adapter is not None else ()
        return (*base, GATE, *(role for role, adapter in settings.given.items() if adapter is not None))

    @property
    def doses(self) -> dict[str, AdapterChoice]:
        """Adapters of more and more training, by the name that their stages have."""
        return {f"dose {dose.name}": dose for dose in self.session.settings.doses}

    def engine(self, role: str) -> Engine:
        """The engine of a role or a dose."""
        if role == GATE:
            return self.session.engine
        if self._kept is None or self._kept[0] != role:
            self._kept = None  # let go of one before the next is loaded
            settings = self.session.settings
            adapter = None if role == BASE else {**settings.given, **self.doses}[role]
            loaded = load_adapted(settings.model, None if adapter is None else adapter.path)
            self._kept = (role, Engine(loaded, settings.memory_budget_mb))
        return self._kept[1]

    def loaded(self, role: str) -> LoadedModel:
        """The model of a role."""
        return self.engine(role).loaded

    def replies(self) -> Replies:
        """Held-out chats, which the model without its adapter answers, be it a role of the run or not."""
        settings = self.session.settings
        messages = chat.prompts(held_out=True)[: settings.chats]
        if not messages:
            return Replies([])
        loaded = self.loaded(GATE if settings.model.adapter is None else BASE)
        found = chat.sample_replies(loaded.model, loaded.tokenizer, messages, seed=1)
        return Replies([Reply(one.prompt, one.reply) for one in found])

    def chat_loss(self, role: str, replies: Replies) -> ChatLoss:
        """Loss of a role on held-out chats."""
        loaded = self.loaded(role)
        encoded = [encode_chat(chat.Chat(one.prompt, one.reply), loaded.tokenizer) for one in replies.chats]
        return ChatLoss(chat_loss(loaded.model, loaded.tokenizer, encoded), len(encoded))
