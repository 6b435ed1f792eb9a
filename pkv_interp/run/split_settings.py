"""Settings of experiments in which families of one split rank sites and those of another score them."""

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from pydantic import ValidationInfo, field_validator

from pkv_interp.run.scenario_settings import FieldValues, ScenarioSettings, of_split
from pkv_interp.run.values import AnyNames, Fillers, Switch
from pkv_interp.tasks import Style

T = TypeVar("T")


class SplitSettings(ScenarioSettings):
    """Keys of experiments with discovery and held-out families.

    Attributes:
        discovery: families that rank; None: the fixed discovery split.
        held_out: families that are scored; None: the fixed held-out split.
        values: of the field, by family; else they are drawn.
        n_fillers: neutral sentences in a prompt.
        chat: use the chat template.
    """

    #: How many families must be named, where any are.
    LEAST_NAMED: ClassVar[int] = 1

    discovery: AnyNames | None = None
    held_out: AnyNames | None = None
    values: FieldValues = {}
    n_fillers: Fillers = 2
    chat: Switch = True

    @field_validator("discovery", "held_out")
    @classmethod
    def _of_its_split(cls, names: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        return of_split(names, info, least=cls.LEAST_NAMED)

    def used_families(self) -> list[str]:
        """See the base class."""
        return [*self.split("discovery", self.discovery), *self.split("held_out", self.held_out)]

    @property
    def style(self) -> Style:
        """Of the prompts."""
        return Style(
            n_fillers=self.n_fillers, chat=self.chat, thinking=self.model.thinking, layout=self.layout
        )

    def instances_of(self, split: str, number: int, tokenizer: Any, build: Callable[..., T]) -> list[T]:
        """Instances of each family of a split; families start at different rule wordings, then take turns.

        Args:
            split: ``"discovery"`` or ``"held_out"``.
            number: of instances per family.
            tokenizer: the model's.
            build: makes one of a family, an index and a tokenizer, for example ``polarity_case``.

        Raises:
            PkvError: a family or a value is unknown, the split is empty, or prompts do not align under this
                tokenizer.
        """
        world = self.checked_world(tokenizer)
        world.choose(list(self.values))  # a name that is no family is refused, not ignored
        chosen = world.choose(self.split(split, getattr(self, split)))
        return [
            build(
                family,
                index,
                tokenizer,
                seed=self.seed,
                style=self.style,
                values=self.values.get(family.name),
                scenarios=world,
            )
            for shift, family in enumerate(chosen)
            for index in range(shift, shift + number)
        ]
