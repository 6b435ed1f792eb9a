"""One history under every arm: its questions answered greedily, compared with the full prefill."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from experiments.locomo.answers import score
from experiments.locomo.cases import History, Wording
from experiments.locomo.reading import Question
from experiments.locomo.settings import LocomoSettings
from pkv_interp.editing import Generation
from pkv_interp.ids import TokenIds
from pkv_interp.measure.decision import kl_divergence
from pkv_interp.measure.timing import seconds
from pkv_interp.memory import CompiledMemory, Conversation, Memory
from pkv_interp.memory.splices import NO_ROTATION, seam_arm, unturned
from pkv_interp.models.load import LoadedModel

#: The reference, and an arm that must not agree with it.
FULL, NO_HISTORY = "full", "no_history"


@dataclass(frozen=True)
class Answer:
    """What an arm answers, as scores alone: no text is kept.

    Attributes:
        f1: of its words against the gold answer's.
        right: by containment or token F1 of 0.5.
        right_published: or by standing in the gold answer.
        same_text: token for token what the full prefill answers.
        tokens: of the answer.
    """

    f1: float
    right: bool
    right_published: bool
    same_text: bool
    tokens: int


@dataclass(frozen=True)
class Agreement:
    """The logits of the answer's first token, against those of the full prefill.

    Attributes:
        top1: the same token is likeliest.
        kl: from the full prefill, in nats.
        cosine: of raw logits, which hardly moves, because their common mean dominates it.
        centred_cosine: of logits less their mean.
        largest: difference of any logit.
    """

    top1: bool
    kl: float
    cosine: float
    centred_cosine: float
    largest: float


@dataclass(frozen=True)
class Asked:
    """One question under all arms; ``answers`` has those that write, ``agreement`` all but the full one."""

    id: str
    category: int
    answers: dict[str, Answer]
    agreement: dict[str, Agreement]


@dataclass(frozen=True)
class Cost:
    """What it takes to have a history in the cache.

    Attributes:
        tokens: run for it.
        seconds: of that; on a CPU the process's own time over its threads.
    """

    tokens: int
    seconds: float


@dataclass(frozen=True)
class HistoryRun:
    """One history.

    Attributes:
        conversation: its id.
        sessions, of_sessions: that are read, and that there are.
        tokens: of the history.
        answerable: questions that these sessions answer; of them the questions below were asked.
        asked: the questions.
        once: of the sessions made apart, which later conversations need not pay.
        costs: of the other arms, each time.
    """

    conversation: str
    sessions: int
    of_sessions: int
    tokens: int
    answerable: int
    asked: list[Asked]
    once: Cost
    costs: dict[str, Cost]


@dataclass(frozen=True)
class _Read:
    logits: Float[Tensor, " vocab"]
    written: Generation | None


def compared(logits: Float[Tensor, " vocab"], full: Float[Tensor, " vocab"]) -> Agreement:
    """Logits against those of the full prefill."""
    mine, theirs = logits.double(), full.double()
    centred = (mine - mine.mean(), theirs - theirs.mean())
    return Agreement(
        top1=bool(mine.argmax() == theirs.argmax()),
        kl=float(kl_divergence(logits, full)),
        cosine=float(torch.cosine_similarity(mine, theirs, dim=0)),
        centred_cosine=float(torch.cosine_similarity(*centred, dim=0)),
        largest=float((mine - theirs).abs().max()),
    )


def compiled(loaded: LoadedModel, sessions: Sequence[str]) -> CompiledMemory:
    """The sessions, each prefilled apart from the others.

    Args:
        loaded: the model.
        sessions: their texts.
    """
    return Memory(list(sessions)).precompile(loaded.model, loaded.tokenizer)


def run_history(made: History, loaded: LoadedModel, wording: Wording, settings: LocomoSettings) -> HistoryRun:
    """Answer every question of a history under every arm; one arm's cache is held at a time.

    Args:
        made: the history.
        loaded: the model.
        wording: of its questions.
        settings: seams and length of answers.
    """
    model, tokenizer = loaded.model, loaded.tokenizer
    threads = torch.get_num_threads() if model.device.type == "cpu" else 1
    suffixes = [wording.asked(made.sessions, one.text) for one in made.questions]
    reads: dict[str, list[_Read]] = {}
    costs: dict[str, Cost] = {}

    def begun(words: TokenIds = wording.head.prompt.ids) -> Conversation:
        return Conversation.begin(model, tokenizer, words)

    def read(arm: str, work: Callable[[], Conversation]) -> None:
        took, conversation = seconds(work, model.device)
        costs[arm] = Cost(conversation.total.tokens, took / threads)
        asked = suffixes if arm != NO_HISTORY else [wording.asked((), one.text) for one in made.questions]
        reads[arm] = [
            _read(conversation, ids, settings.answer_tokens * (arm != NO_ROTATION)) for ids in asked
        ]

    took, memory = seconds(lambda: compiled(loaded, made.sessions), model.device)
    read(FULL, lambda: begun((*wording.head.prompt.ids, *memory.ids)))
    for k in settings.repairs:
        read(seam_arm(k), lambda k=k: begun().attach(memory, seam=k))
    read(NO_ROTATION, lambda: unturned(begun(), memory))
    read(NO_HISTORY, begun)
    return HistoryRun(
        conversation=made.instance,
        sessions=len(made.sessions),
        of_sessions=len(made.talk.sessions),
        tokens=memory.length,
        answerable=made.answerable,
        asked=[_asked(one, {arm: reads[arm][i] for arm in reads}) for i, one in enumerate(made.questions)],
        once=Cost(memory.cost.tokens, took / threads),
        costs=costs,
    )


def _read(conversation: Conversation, words: tuple[int, ...], most: int) -> _Read:
    """The logits of an answer's first token, and the answer, unless it is to have no token."""
    written = conversation.generate(words, most, stop="\n") if most else None
    return _Read(conversation.logits(words).cpu(), written)


def _asked(question: Question, reads: dict[str, _Read]) -> Asked:
    full = reads[FULL]
    answers: dict[str, Answer] = {}
    for arm, one in reads.items():
        if one.written is None or full.written is None:
            continue
        scored = score(one.written.text, question)
        answers[arm] = Answer(
            f1=scored.f1,
            right=scored.right,
            right_published=scored.right_published,
            same_text=one.written.ids == full.written.ids,
            tokens=len(one.written.ids),
        )
    agreement = {arm: compared(one.logits, full.logits) for arm, one in reads.items() if arm != FULL}
    return Asked(question.id, question.category, answers, agreement)
