"""Settings that every command or every experiment has, and the kinds of values that several of them take."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)

from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import ModelConfig, load_catalogue_entry
from pkv_interp.run.own_data import refuse_own_data

DEFAULT_MODEL = "smollm2-135m-gate"
N = TypeVar("N", bound=Sequence[float])
C = TypeVar("C", bound=BaseModel)


class CommandSettings(BaseModel):
    """Keys that every command shares. Unknown keys are refused.

    Attributes:
        results_dir: where records are.
        threads: torch threads; None leaves torch's choice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), validate_default=True)

    results_dir: Path = Path("results")
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None


def checked(schema: type[C], values: Mapping[str, Any]) -> C:
    """Settings from keys and values.

    Raises:
        PkvError: a key is unknown or its value is not possible; the line names the first such key.
    """
    refuse_own_data(values, schema.model_fields)
    try:
        return schema.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise PkvError(
            f"config key '{key}': {first['msg']}", "see the experiment's file under configs/"
        ) from error


def _entry(value: Any) -> Any:
    """A catalogue entry's name stands for the entry."""
    return load_catalogue_entry(value) if isinstance(value, str) else value


#: A model: an entry of the catalogue, or its name.
Model = Annotated[ModelConfig, BeforeValidator(_entry)]


class ExperimentSettings(CommandSettings):
    """Keys that every experiment shares; experiments add their own, each with a default.

    Attributes:
        model: an entry of the catalogue, or its name.
        seed: of everything random that is drawn while measuring.
        memory_budget_mb: bound on one packed forward; None: 1 GiB, or half of what is free on a GPU.
        resume: skip a run that an identical record already holds, continue an interrupted one.
        verify: compute the first case again in TransformerLens and hold the engine to it; "auto" does so
            below 1 B parameters.
    """

    #: Settings that no measurement reads: they are part of the summary key alone.
    SUMMARY_ONLY: ClassVar[frozenset[str]] = frozenset({"bootstrap_draws", "competence_threshold"})

    model: Model = Field(default=DEFAULT_MODEL)  # pyright: ignore[reportAssignmentType]
    seed: NonNegativeInt = 0
    memory_budget_mb: PositiveFloat | None = None
    resume: bool = True
    verify: Literal["auto", "transformer_lens", "none"] = "auto"

    def measuring(self) -> Self:
        """These settings as a measurement may read them; reading one of the summary's raises."""
        read = {
            name: getattr(self, name) for name in type(self).model_fields if name not in self.SUMMARY_ONLY
        }
        copy = self.model_copy()
        object.__setattr__(copy, "__dict__", read)
        return copy


#: Bootstrap draws; below 100 intervals are unreliable.
Draws = Annotated[int, Field(ge=100, le=1_000_000)]
#: Accuracy that both sides of a task must reach before a figure about a mechanism is stated.
Threshold = Annotated[float, Field(ge=0.0, le=1.0)]
#: A part of a whole, more than nothing.
Share = Annotated[float, Field(gt=0.0, le=1.0)]


def rising(values: N) -> N:
    """Refuse an empty list, and one that does not rise.

    Raises:
        ValueError: as pydantic wants it.
    """
    if not values or any(a >= b for a, b in pairwise(values)):
        raise ValueError("give at least one, each once and in rising order")
    return values


#: Sizes of sets, rising.
Sizes = Annotated[tuple[PositiveInt, ...], AfterValidator(rising)]
#: Parts of a whole, rising.
Shares = Annotated[tuple[Share, ...], AfterValidator(rising)]
