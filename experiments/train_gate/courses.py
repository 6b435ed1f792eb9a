"""The course of a training that is not the gate's schedule, with the model that teaches or writes."""

from typing import Any

from experiments.train_gate.settings import TrainGateSettings
from pkv_interp.errors import PkvError
from pkv_interp.models.adapter import find_adapter
from pkv_interp.models.adapter_file import WEIGHTS_FILE
from pkv_interp.models.hashing import file_sha256
from pkv_interp.models.load import LoadedModel, load_adapted
from pkv_interp.prompts.links import LINK
from pkv_interp.prompts.special import following
from pkv_interp.training.courses import Memories, Programmable, Reader
from pkv_interp.training.layout_course import programmable_course
from pkv_interp.training.layout_losses import LayoutLosses, kinds_of
from pkv_interp.training.memory_course import memory_course
from pkv_interp.training.reader_course import reader_course
from pkv_interp.training.replaced_losses import ReplacedLosses
from pkv_interp.training.trainer import Course, TrainSettings


def course_of(settings: TrainGateSettings, base: LoadedModel, options: TrainSettings) -> Course | None:
    """What the training learns from; None for the gate's schedule.

    Args:
        settings: of the run.
        base: the model without an adapter.
        options: of the training.
    """
    asked = settings.course
    if asked is None:
        return None
    start = None if settings.start is None else find_adapter(settings.start)
    given = (options.stages, options.seed, options.longest, base.tokenizer)
    if isinstance(asked, Memories):
        made = memory_course(asked, *given)
    elif isinstance(asked, Programmable):
        teacher = None if asked.objective == "answers" else _plain(settings)
        made = programmable_course(
            asked, *given, LayoutLosses(kinds_of(base.model), asked.objective, teacher)
        )
    else:
        writer = writer_of(settings, asked)
        made = reader_course(asked, *given, ReplacedLosses(asked.active, writer))
    facts = {**made.facts, "start": None if start is None else file_sha256(start / WEIGHTS_FILE)}
    return Course(made.batches, made.losses, made.groups, facts)


def soft_tokens(settings: TrainGateSettings, tokenizer: Any) -> tuple[int, ...]:
    """Tokens whose embeddings alone are trained; none where an adapter is.

    Raises:
        PkvError: a link is not one token of this model.
    """
    asked = settings.course
    if not isinstance(asked, Programmable) or asked.trained != "link_tokens":
        return ()
    found = following(LINK, tokenizer)
    if len(found) != 1:
        raise PkvError(
            f"the link '{LINK}' is {len(found)} tokens of {settings.model.name}, and one is trained",
            "train an adapter instead (course.trained=adapter)",
        )
    return tuple(found)


def writer_of(settings: TrainGateSettings, course: Reader) -> Any:
    """The model that writes a reader's caches before its adapter acts; None where that acts everywhere.

    Args:
        settings: of the run.
        course: says where the adapter acts.
    """
    return None if course.active == "all" else _plain(settings)


def _plain(settings: TrainGateSettings) -> Any:
    """The model that training starts from, as it was before: it teaches, or writes the caches."""
    return load_adapted(
        settings.model, None if settings.start is None else find_adapter(settings.start)
    ).model
