"""Settings that every command or every experiment has, and how they are checked."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from pkv_interp.errors import PkvError, short, suggestion
from pkv_interp.models.catalogue import ModelConfig, load_catalogue_entry, model_config_of
from pkv_interp.plain import plain
from pkv_interp.run.own_data import refuse_own_data
from pkv_interp.run.values import Folder, Megabytes, Seed, Switch, Threads

DEFAULT_MODEL = "smollm2-135m-gate"
C = TypeVar("C", bound=BaseModel)


class CommandSettings(BaseModel):
    """Keys that every command shares. Unknown keys are refused.

    Attributes:
        results_dir: where records are.
        threads: torch threads; None leaves torch's choice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), validate_default=True)

    results_dir: Folder = Field(default="results")  # pyright: ignore[reportAssignmentType]
    threads: Threads | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any, info: ValidationInfo) -> Any:
        # A model has a check of its own, which names the key inside it.
        return value if info.field_name == "model" else plain(value)


def checked(schema: type[C], values: Mapping[str, Any]) -> C:
    """Settings from keys and values.

    Raises:
        PkvError: a key is unknown or its value is not possible; the line names the first such key.
    """
    refuse_own_data(values, schema.model_fields)
    try:
        return schema.model_validate(dict(values))
    except ValidationError as error:
        raise _told(schema, error.errors()) from error


def _told(schema: type[BaseModel], errors: list[ErrorDetails]) -> PkvError:
    # An unknown key first: what else is wrong may follow from it.
    unknown = [error for error in errors if error["type"] == "extra_forbidden"]
    first = (unknown or errors)[0]
    key = ".".join(str(part) for part in first["loc"])
    if unknown and len(first["loc"]) == 1:
        return PkvError(f"unknown config key '{short(key)[1:-1]}'", suggestion(key, schema.model_fields))
    cause = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    hint = "see the experiment's file under configs/"
    if not key:
        return PkvError(f"these settings do not go together: {cause}", hint)
    given = first["input"]
    # Long values would hide what is wrong with them; of those the key says enough.
    value = f"={short(given)}" if isinstance(given, str | int | float | None) else ""
    return PkvError(f"config key '{short(key)[1:-1]}'{value}: {cause}", hint)


def _entry(value: Any) -> Any:
    """A catalogue entry's name stands for the entry."""
    if isinstance(value, ModelConfig):
        return value
    if isinstance(value, str):
        return load_catalogue_entry(value)
    if isinstance(value, Mapping):
        return model_config_of({str(key): inner for key, inner in value.items()})
    raise PkvError(f"config key 'model'={short(value)}: no model", "give a name under configs/model")


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
        remote: run prompts on the server that nnsight is set up for; "local" is a dry run of that, here.
        prefill_dtype: "bfloat16" runs tokens before the decision in it where that moves no margin of the
            first cases too far, "auto" where it is faster as well; "float32" never.
    """

    #: Settings that no measurement reads: they are part of the summary key alone.
    SUMMARY_ONLY: ClassVar[frozenset[str]] = frozenset({"bootstrap_draws", "competence_threshold"})

    model: Model = Field(default=DEFAULT_MODEL)  # pyright: ignore[reportAssignmentType]
    seed: Seed = 0
    memory_budget_mb: Megabytes | None = None
    resume: Switch = True
    verify: Literal["auto", "transformer_lens", "none"] = "auto"
    remote: Switch | Literal["local"] = False
    prefill_dtype: Literal["auto", "float32", "bfloat16"] = "float32"

    @model_validator(mode="after")
    def _a_server_has_the_model(self) -> Self:
        plain = self.model.source == "hub" and self.model.adapter is None and not self.model.quantise_4bit
        if self.remote is True and not plain:
            raise ValueError(
                f"remote=true runs models of the hub as they are there, and {self.model.name} is none; "
                "remote=local is a dry run of any model"
            )
        if self.remote and self.prefill_dtype != "float32":
            raise ValueError("remote runs prompts in the dtype of the model there; set prefill_dtype=float32")
        return self

    def remarks(self) -> tuple[str, ...]:
        """What these settings ask for beyond what there is, for the record: it is cut to what there is."""
        return ()

    def more_than(self, **there_are: tuple[int, str]) -> tuple[str, ...]:
        """Remarks on counts of which there are not so many: by key, how many there are and of what."""
        return tuple(
            f"{key}={getattr(self, key)}, and there are {number} {what}: all are taken"
            for key, (number, what) in there_are.items()
            if getattr(self, key) > number
        )

    def measuring(self) -> Self:
        """These settings as a measurement may read them; reading one of the summary's raises."""
        read = {
            name: getattr(self, name) for name in type(self).model_fields if name not in self.SUMMARY_ONLY
        }
        copy = self.model_copy()
        object.__setattr__(copy, "__dict__", read)
        return copy
