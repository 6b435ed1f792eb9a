"""The record of a run: no unknown keys, finite numbers only, and no success without passed controls."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    JsonValue,
    PrivateAttr,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pkv_interp.records.competence import Competence
from pkv_interp.records.rules import Finding, find_not_finite, first_duplicate
from pkv_interp.stats import Estimate

SCHEMA_VERSION = 2


def _finite(value: JsonValue) -> JsonValue:
    pointer = find_not_finite(value)
    if pointer is not None:
        raise PydanticCustomError(
            "not_finite", "a number is not finite", {"findings": [Finding(pointer, "a number is not finite")]}
        )
    return value


FiniteJson = Annotated[JsonValue, AfterValidator(_finite)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Control(_Part):
    """A check with a known answer, made in every run: self-patch 0, full patch 1, batched equals single."""

    name: str = Field(min_length=1)
    value: FiniteFloat
    expected: FiniteFloat
    tolerance: FiniteFloat = Field(ge=0.0)
    passed: bool
    detail: str = ""

    @model_validator(mode="after")
    def _passed_is_earned(self) -> Self:
        within = abs(self.value - self.expected) <= self.tolerance
        if within != self.passed:
            raise ValueError(
                f"passed is {self.passed}, but {self.value} is {'' if within else 'not '}within "
                f"{self.tolerance} of {self.expected}"
            )
        return self


class Row(_Part):
    """One instance under one arm; margins in logits. ``extra`` holds the arm's own scalars."""

    family: str = Field(min_length=1)
    split: str
    instance: str | int
    wording: str | int
    arm: str = Field(min_length=1)
    clean: FiniteFloat | None = None
    corrupt: FiniteFloat | None = None
    patched: FiniteFloat | None = None
    extra: dict[str, FiniteFloat | int | str | bool | None] = Field(default_factory=dict)


class Environment(_Part):
    """Where and with what the run was made."""

    python: str
    platform: str
    packages: dict[str, str]
    device: str | None = None
    dtype: str | None = None
    attention: str | None = None
    threads: int | None = None
    commit: str
    dirty: bool | None


class HeadlineFigure(Estimate):
    """A figure that a run is known by.

    Attributes:
        what: what it is, in a few words.
        needs_gate: it is about a mechanism, so it is stated only where the model passed the gate.
        low, high: what it cannot go below or above, None where there is no such bound.
    """

    what: str = ""
    needs_gate: bool = True
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None


class Keys(_Part):
    """The two identities of a run, and the code that they are over.

    Attributes:
        measurement: model, weights, seed, the settings that measuring reads, and the code that it can reach.
        summary: that, the settings that only the summary reads, and the summary's own code.
        measuring_code, summary_code: hashes of the code alone.
        measuring_roots, summary_roots: modules whose import closures that code is.
    """

    measurement: str = Field(pattern=r"^[0-9a-f]{64}$")
    summary: str = Field(pattern=r"^[0-9a-f]{64}$")
    measuring_code: str = Field(pattern=r"^[0-9a-f]{64}$")
    summary_code: str = Field(pattern=r"^[0-9a-f]{64}$")
    measuring_roots: tuple[str, ...] = ()
    summary_roots: tuple[str, ...] = ()


class Measurements(_Part):
    """The archive beside the record that everything in it was computed from."""

    file: str = Field(min_length=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=1)


class RunRecord(BaseModel):
    """One run.

    Attributes:
        key: the measurement key, which also names the file (64 hexadecimal digits).
        keys: both keys and the code that they are over; None in records of schema 1.
        weights: identity of the weights that were asked for, before they were loaded.
        model: the loaded model (``ModelInfo``): name, revision, weight hash; until then only the name.
        seconds: of work, over all sittings of a resumed run; None until the run has ended.
        config: what was asked, with the model under "model" and without paths and other ignored keys.
        summary_only: names of settings that no measurement reads.
        measurements: where the record's measurements are; None until they are whole.
        remarks: what a reader should know that is no number, for example a check that was skipped.
        rows: one per instance and arm.
        tables: small tables by name, one mapping per line.
        arrays: name of the safetensors file beside the record.
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[2] = SCHEMA_VERSION
    key: str = Field(pattern=r"^[0-9a-f]{64}$")
    keys: Keys | None = None
    weights: str | None = None
    experiment: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    status: Literal["started", "success", "error"]
    error: str | None = None
    config: dict[str, FiniteJson]
    model: dict[str, FiniteJson]
    environment: Environment
    summary_only: tuple[str, ...] = ()
    measurements: Measurements | None = None
    seed: int
    started_at: AwareDatetime
    seconds: FiniteFloat | None = None
    controls: list[Control] = Field(default_factory=list)
    noise_floor: dict[str, FiniteFloat] = Field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    competence: Competence | None = None
    rows: list[Row] = Field(default_factory=list)
    headline: dict[str, HeadlineFigure] = Field(default_factory=dict)
    tables: dict[str, list[dict[str, FiniteJson]]] = Field(default_factory=dict)
    arrays: str | None = None

    _path: Path | None = PrivateAttr(default=None)

    @property
    def path(self) -> Path | None:
        """The file that the record was read from or written to."""
        return self._path

    @property
    def model_name(self) -> str:
        """Name of the model that was run."""
        return str(self.model["name"])

    @property
    def subject(self) -> str:
        """What figures and tables are of: the model, with the layout and the engine where these are named."""
        asked = (self.config.get(name) for name in ("layout", "engine"))
        return "@".join([self.model_name, *(value for value in asked if isinstance(value, str))])

    @field_validator("model")
    @classmethod
    def _named(cls, model: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if not isinstance(model.get("name"), str) or not model["name"]:
            raise ValueError("the model has no name")
        return model

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        findings = list(self._findings())
        if findings:
            raise PydanticCustomError("rules", "the record contradicts itself", {"findings": findings})
        return self

    def _findings(self) -> Iterator[Finding]:
        failed = [control.name for control in self.controls if not control.passed]
        if self.status == "success":
            if failed:
                yield Finding("/status", f"success although control {failed[0]!r} failed")
            if self.error is not None:
                yield Finding("/error", "success with an error text")
            if self.seconds is None:
                yield Finding("/seconds", "success without the seconds it took")
            for name in ("revision", "weight_sha256"):
                if name not in self.model:
                    yield Finding(f"/model/{name}", "success without this fact about the model")
        if self.status == "error" and not self.error:
            yield Finding("/error", "status error without an error text")
        duplicate = first_duplicate(
            (row.family, row.split, row.instance, row.wording, row.arm) for row in self.rows
        )
        if duplicate is not None:
            yield Finding(f"/rows/{duplicate}", "a second row for the same instance and arm")
        families = {row.family for row in self.rows}
        for name, estimate in self.headline.items() if self.rows else ():
            if estimate.n_families > len(families):
                yield Finding(
                    f"/headline/{name}/n_families", f"{estimate.n_families}, but rows name {len(families)}"
                )
            # A row tells of two prompts, clean and corrupt, and competence counts each of them.
            if estimate.n_instances > 2 * len(self.rows):
                yield Finding(
                    f"/headline/{name}/n_instances",
                    f"{estimate.n_instances}, but there are {len(self.rows)} rows",
                )
