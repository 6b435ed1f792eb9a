"""What the trained model answers about pictures that it never saw."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.train_vision.settings import TrainVisionSettings
from pkv_interp.measure.picture_answers import PictureAnswer, answer
from pkv_interp.models.load_vision import LoadedVision
from pkv_interp.pictures.drawing import grey, picture
from pkv_interp.pictures.generators import GENERATORS
from pkv_interp.pictures.items import Item, field_items, items


@dataclass(frozen=True)
class Asked:
    """A question under a condition.

    Attributes:
        condition: ``one``, ``two``, ``preface-32``, ``field-before`` or ``field-after``.
        item: the question.
        other: a question of the same kind, whose pictures stand in for the item's own.
    """

    condition: str
    item: Item
    other: Item

    @property
    def instance(self) -> str:
        """The name by which the answer is kept."""
        return f"{self.condition}/{self.item.kind}/{self.item.instance}"


@dataclass(frozen=True)
class Answered:
    """What was answered.

    Attributes:
        condition, kind, category, instance: of the question.
        gold: the right word.
        own: with the pictures that are asked about.
        grey: with grey pictures in their place.
        other: with the pictures of another question of the kind.
    """

    condition: str
    kind: str
    category: str
    instance: str
    gold: str
    own: PictureAnswer
    grey: PictureAnswer
    other: PictureAnswer


def questions(settings: TrainVisionSettings) -> list[Asked]:
    """All that is asked, under every condition."""
    kinds = list(GENERATORS)
    one = items(kinds, settings.pictures, seed=settings.seed)
    conditions = {"one": one, "two": items(kinds, settings.pictures, pictures=2, seed=settings.seed)}
    conditions |= {f"preface-{n}": [item.after(n, settings.seed) for item in one] for n in settings.prefaces}
    for place in ("before", "after"):
        found = field_items(settings.field_pictures, place, seed=settings.seed)
        conditions[f"field-{place}"] = [item.before for item in found]
    return [
        Asked(condition, item, _another(part, at))
        for condition, part in conditions.items()
        for at, item in enumerate(part)
    ]


def _another(part: Sequence[Item], at: int) -> Item:
    """The next question of the same kind; of a kind that has one alone, itself."""
    same = [item for item in part if item.kind == part[at].kind]
    return same[(same.index(part[at]) + 1) % len(same)]


def judge(loaded: LoadedVision, asked: Asked) -> Answered:
    """Answer a question with its own pictures, with grey ones, and with those of another question."""
    item = asked.item
    others = [picture(scene) for scene in asked.other.scenes]
    return Answered(
        asked.condition,
        item.kind,
        item.category,
        item.instance,
        item.answer,
        answer(loaded, item),
        answer(loaded, item, [grey() for _ in item.scenes]),
        answer(loaded, item, others),
    )
