"""What the gate adapter's experiment measures: the finished adapter, and every snapshot's mechanism."""

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import cache
from typing import TYPE_CHECKING

from experiments.train_gate.cases import mechanism_cases
from experiments.train_gate.courses import writer_of
from experiments.train_gate.fitting import fit
from experiments.train_gate.judging import Answers, Mechanism, judge, mechanism
from experiments.train_gate.replaced import replaced_cases, under_replacement
from experiments.train_gate.settings import TrainGateSettings
from experiments.train_gate.under_pattern import Patterned, PatternMargins, scenes_of, under_patterns
from pkv_interp.models.load import LoadedModel, load_adapted
from pkv_interp.training.courses import AnyCourse, Reader
from pkv_interp.training.evaluation import chat_loss
from pkv_interp.training.probes import seen_in_training
from pkv_interp.training.replaced_losses import ReplacedLosses
from pkv_interp.training.trainer import snapshot_path

if TYPE_CHECKING:
    from pkv_interp.run.session import Session


@dataclass(frozen=True)
class ChatLosses:
    """Mean cross-entropy of held-out replies, in nats per token, before and after the training."""

    base: float
    adapted: float
    n_chats: int


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Attributes:
        answers: of the finished adapter.
        mechanism: by the training step after which the adapter was kept.
        chat: what the training did to ordinary chat.
        history: losses and accuracies of each training step.
        patterns: by training step, edits as a course has them; none of the gate's own lessons, and in
            measurements of before.
    """

    answers: Answers
    mechanism: dict[int, Mechanism]
    chat: ChatLosses
    history: list[dict[str, float]]
    patterns: dict[int, list[PatternMargins]] = dataclass_field(default_factory=dict)


def measure(session: "Session[TrainGateSettings]") -> Measured:
    """Train or finish training, then judge what came of it; or judge an adapter as it is."""
    settings = session.settings
    # Prompts are checked before an hour of training, and not after it.
    cases = mechanism_cases(settings, session.tokenizer)
    if seen := seen_in_training(settings.world):
        session.run.remarks.append(
            f"the training uses words of {', '.join(seen)}: their accuracy says little about new domains"
        )
    # Not a stage: the training keeps its own checkpoint and goes on from any step, not from its end alone.
    fitted = fit(settings)
    # The record is about the adapted model: it is what the engine is checked on and what the facts name.
    session.loaded = load_adapted(settings.model, settings.adapter_dir)
    session.check_engine(cases[:4])
    answers = session.once("answers", lambda: judge(session.loaded, settings), Answers)
    snapshots = {
        step: snapshot_path(settings.work_dir, step) if settings.train else settings.adapter_dir
        for step in settings.snapshots
    }
    by_step = {
        step: session.once(
            f"mechanism/{step}",
            lambda at=at: mechanism(load_adapted(settings.model, at), settings),
            Mechanism,
        )
        for step, at in snapshots.items()
    }
    patterns: dict[int, list[PatternMargins]] = {}
    if settings.course is not None:
        edits = _edits(session, settings.course)
        patterns = {
            step: session.once(
                f"patterns/{step}",
                lambda at=at: edits(load_adapted(settings.model, at)),
                Patterned,
            ).edits
            for step, at in snapshots.items()
        }
    chat = session.once(
        "chat loss",
        lambda: ChatLosses(
            fitted.base_chat_loss,
            chat_loss(session.loaded.model, session.tokenizer, fitted.held_out),
            len(fitted.held_out),
        ),
        ChatLosses,
    )
    return Measured(answers, by_step, chat, fitted.history, patterns)


def _edits(session: "Session[TrainGateSettings]", course: AnyCourse) -> Callable[[LoadedModel], Patterned]:
    """How an adapter of this course is asked about edits: as it was trained to act."""
    settings = session.settings
    if not isinstance(course, Reader):
        scenes = scenes_of(settings, session.tokenizer)
        return lambda loaded: under_patterns(loaded, scenes, settings)
    pairs = replaced_cases(settings, session.tokenizer)
    if course.active != "all":
        where = "at the decision token alone" if course.active == "decision" else "from the question on"
        session.run.remarks.append(
            f"the adapter was trained to act {where}: pattern_by_step has it so, over caches of the model "
            "that training starts from; all other figures have it act on every token"
        )

    # The writer is loaded when the first snapshot asks for it: a run that goes on may have measured all.
    @cache
    def losses() -> ReplacedLosses:
        return ReplacedLosses(course.active, writer_of(settings, course))

    return lambda loaded: under_replacement(loaded, pairs, losses())
