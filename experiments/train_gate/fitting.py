"""Training proper: replayed chats, the adapter, and the base model's chat loss before it.

Replay text, checkpoint and snapshots are in ``work_dir``, so that a repeat continues from there.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from experiments.train_gate.courses import course_of, soft_tokens
from experiments.train_gate.settings import TrainGateSettings
from pkv_interp.errors import PkvError
from pkv_interp.files import atomic_write
from pkv_interp.models.adapter import find_adapter
from pkv_interp.models.adapter_file import CONFIG_FILE
from pkv_interp.models.load import LoadedModel, load
from pkv_interp.training import chat
from pkv_interp.training.evaluation import chat_loss
from pkv_interp.training.starting import start_from
from pkv_interp.training.tokens import TokenSequence, encode_chat
from pkv_interp.training.trainer import TrainSettings, add_lora, train, write_adapter


@dataclass(frozen=True)
class Fitted:
    """A finished training.

    Attributes:
        history: losses and accuracies of each step; none of an adapter that was trained elsewhere.
        base_chat_loss: of the base model on the held-out chats, in nats per token.
        held_out: these chats.
    """

    history: list[dict[str, float]]
    base_chat_loss: float
    held_out: list[TokenSequence]


def replay_text(loaded: LoadedModel, directory: Path, *, held_out: bool) -> list[TokenSequence]:
    """Chats to replay, or held-out chats, sampled once from the base model and kept."""
    path = directory / f"replay{'-held-out' if held_out else ''}.json"
    if not path.exists():
        sampled = chat.sample_replies(
            loaded.model, loaded.tokenizer, chat.prompts(held_out), seed=int(held_out)
        )
        atomic_write(path, json.dumps([vars(one) for one in sampled]).encode())
    kept = json.loads(path.read_text(encoding="utf-8"))
    return [encode_chat(chat.Chat(**one), loaded.tokenizer) for one in kept]


def fit(settings: TrainGateSettings) -> Fitted:
    """Train, or finish training, and write the adapter; where it is only to be judged, the chats alone.

    Raises:
        PkvError: the adapter is only to be judged, and there is none.
    """
    if not settings.train and not (settings.adapter_dir / CONFIG_FILE).is_file():
        raise PkvError(
            f"'adapter_dir' {settings.adapter_dir} holds no adapter", "set train=true, or name its folder"
        )
    base = load(settings.model)
    held_out = replay_text(base, settings.work_dir, held_out=True)
    before = chat_loss(base.model, base.tokenizer, held_out)
    if not settings.train:
        return Fitted([], before, held_out)
    # Minutes of sampling, which an adapter that is only judged has no use for.
    replayed = replay_text(base, settings.work_dir, held_out=False)
    options = TrainSettings(
        stages=settings.schedule,
        rank=settings.rank,
        alpha=settings.rank if settings.course is not None else TrainSettings.alpha,
        snapshot_every=settings.snapshot_every,
        base=settings.model.name,
        seed=settings.seed,
    )
    course = course_of(settings, base, options)  # before peft puts its layers into the model
    model = add_lora(base.model, options, soft_tokens(settings, base.tokenizer))
    if settings.start is not None:
        start_from(model, find_adapter(settings.start), options)
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("training", total=options.steps)

        def progress(step: int, values: dict[str, float]) -> None:
            bar.update(task, completed=step + 1, description=f"training, loss {values['loss']:.2f}")

        history = train(model, base.tokenizer, replayed, options, settings.work_dir, progress, course)
    write_adapter(model, options, settings.adapter_dir)
    return Fitted(history, before, held_out)
