"""What is asked about pictures in the experiment."""

from dataclasses import dataclass

from experiments.vision.settings import VisionSettings
from pkv_interp.pictures.items import FieldItem, Item, field_items, items


@dataclass(frozen=True)
class Case:
    """A question, and another of its kind whose pictures can stand in for its own.

    Attributes:
        item: the question.
        other: the other one.
    """

    item: Item
    other: Item

    @property
    def instance(self) -> str:
        """The name by which its measurements are kept."""
        return f"{self.item.kind}-{self.item.instance}"


@dataclass(frozen=True)
class Cases:
    """All that is measured.

    Attributes:
        questions: about one picture and about two.
        fields: with a field beside the picture.
    """

    questions: list[Case]
    fields: list[FieldItem]


def build_cases(settings: VisionSettings) -> Cases:
    """Held-out questions of every kind, and fields before and after the picture."""
    questions: list[Case] = []
    for number, pictures in ((settings.pictures, 1), (settings.two, 2)):
        for kind in settings.kinds:
            found = items([kind], number, pictures=pictures, seed=settings.seed)
            questions += [Case(item, found[(at + 1) % len(found)]) for at, item in enumerate(found)]
    fields = [
        *field_items(settings.field_pictures, "before", seed=settings.seed),
        *field_items(settings.field_pictures, "after", seed=settings.seed),
    ]
    return Cases(questions, fields)
