"""The catalogue: one YAML file per model under ``configs/model``, and the checked form it takes."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from yaml import YAMLError

from pkv_interp.errors import PkvError, short, suggestion
from pkv_interp.names import Pattern
from pkv_interp.paths import expanded
from pkv_interp.plain import plain

CATALOGUE = Path(__file__).resolve().parents[2] / "configs" / "model"

Source = Literal["embedded", "hub", "local", "gguf", "shipped", "tiny", "table"]
Package = Literal["smollm2-135m", "gemma3-270m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"]
Family = Literal["llama", "qwen3", "gemma2", "gemma3", "mistral", "phi3", "gpt-oss", "pictures"]

# Per source: the fields that must be set, and those that would be dropped in silence and are refused instead.
_NEEDED: dict[str, tuple[str, ...]] = {
    "embedded": (),
    "hub": ("hub_id",),
    "local": ("path",),
    "gguf": (),
    "shipped": ("path",),
    "tiny": ("family",),
    "table": (),
}
_FOREIGN: dict[str, tuple[str, ...]] = {
    "embedded": ("hub_id", "revision", "path", "gguf_file", "family"),
    "hub": ("package", "path", "gguf_file", "family"),
    "local": ("package", "hub_id", "revision", "gguf_file", "family"),
    "gguf": ("package", "family"),
    "shipped": ("package", "hub_id", "revision", "gguf_file", "family", "adapter"),
    "tiny": ("package", "hub_id", "revision", "path", "gguf_file"),
    "table": ("package", "hub_id", "revision", "path", "gguf_file", "family", "adapter"),
}
#: Entries that stand for any folder or file.
_OPEN = ("local", "gguf")


class ModelConfig(BaseModel):
    """How to get one model, as written in ``configs/model/<name>.yaml``.

    Attributes:
        name: the entry's name, used in records.
        source: where the weights come from; "table" stands for all tiny architectures at once.
        package: which embedded model; None is the default one, SmolLM2-135M-Instruct ("embedded" only).
        hub_id: repository on the hub ("hub", and "gguf" for a file in a repository).
        revision: branch, tag or commit of that repository; the loader records the commit it resolved to.
        path: directory ("local"), file ("gguf"), or the name of a model in ``pkv_interp/data`` ("shipped").
        gguf_file: name of the file inside ``hub_id`` ("gguf").
        family: architecture of a "tiny" model with random weights; "pictures" is our own vision model's.
        adapter: LoRA directory, or the name of one shipped in ``pkv_interp/data``; merged at load.
        dtype: "auto" is bfloat16 on a GPU and float32 elsewhere.
        attention: "auto" is sdpa where the architecture has it and eager elsewhere.
        device: "auto" is the first of cuda, mps, cpu that is there.
        thinking: the chat template's ``enable_thinking`` switch; None where the template has none.
        pattern: attention pattern that prompts are prefilled under where fields are edited or chunks moved:
            fields isolated and policies blind. None: every token sees all before it.
        quantise_4bit: hold the weights as 4-bit NF4 (bitsandbytes, on a GPU or a CPU).
        seed: seed of random weights ("tiny" and "table" only).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=100)]
    source: Source
    package: Package | None = None
    hub_id: str | None = None
    revision: str | None = None
    path: str | None = None
    gguf_file: str | None = None
    family: Family | None = None
    adapter: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    attention: Literal["auto", "sdpa", "eager"] = "auto"
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    thinking: bool | None = None
    pattern: Pattern | None = None
    quantise_4bit: bool = False
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        return plain(value)

    @field_validator("path", "hub_id", "gguf_file", "adapter")
    @classmethod
    def _not_empty(cls, text: str | None) -> str | None:
        if text is not None and not text.strip():
            raise ValueError("the text is empty; give one, or leave the key out")
        return text

    @model_validator(mode="before")
    @classmethod
    def _named_by_its_place(cls, values: Any) -> Any:
        """A folder or file of one's own is called after itself, so that two of them are two models."""
        if isinstance(values, Mapping) and values.get("name") in _OPEN and values.get("source") in _OPEN:
            path = values.get("path")
            if isinstance(path, str) and (name := expanded(path).absolute().name):
                return {**values, "name": f"{values['name']}-{name}"[:100]}
        return values

    @model_validator(mode="after")
    def _fits_its_source(self) -> Self:
        for field in _NEEDED[self.source]:
            if getattr(self, field) is None:
                raise ValueError(f"source '{self.source}' needs model.{field}")
        for field in _FOREIGN[self.source]:
            if getattr(self, field) is not None:
                raise ValueError(f"source '{self.source}' has no use for model.{field}")
        if self.source == "gguf" and (self.path is None) == (self.hub_id is None or self.gguf_file is None):
            raise ValueError("source 'gguf' needs model.path, or both model.hub_id and model.gguf_file")
        if self.quantise_4bit and self.source not in ("hub", "local"):
            raise ValueError(f"model.quantise_4bit does not apply to source '{self.source}'")
        if self.quantise_4bit and self.adapter is not None:
            raise ValueError("an adapter cannot be merged into 4-bit weights")
        if self.seed and self.source not in ("tiny", "table"):
            raise ValueError(f"source '{self.source}' has no use for model.seed")
        return self


def check_place(model: ModelConfig) -> None:
    """Refuse a model of a folder or a file that is not there.

    Raises:
        PkvError: it is not.
    """
    if model.path is None or model.source not in _OPEN:
        return
    what = "folder" if model.source == "local" else "file"
    try:
        place = expanded(model.path)
        there = place.is_dir() if model.source == "local" else place.is_file()
    except OSError as error:
        raise PkvError(f"model.path={short(model.path)} is no {what}: {error}", "write it out") from error
    if not there:
        cause = f"{place} is no {what}" if place.exists() else f"there is no {what} {place}"
        raise PkvError(cause, f"name the {what} of the weights with model.path")


def no_single_model(name: str) -> PkvError:
    """The error of an entry that stands for a table of models, where one is wanted."""
    return PkvError(f"{name} is a table of models and no single one", "name a model, for example tiny-llama")


def model_config_of(values: Mapping[str, Any]) -> ModelConfig:
    """Check a mapping of keys and values.

    Raises:
        PkvError: naming the first key that is wrong and why.
    """
    try:
        return ModelConfig.model_validate(dict(values))
    except ValidationError as error:
        raise _told(error, str(values.get("name", "<name>"))) from None


def _told(error: ValidationError, name: str) -> PkvError:
    first = error.errors()[0]
    key = ".".join(["model", *map(str, first["loc"])])
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(str(first["loc"][-1]), ModelConfig.model_fields)
        known = ", ".join(ModelConfig.model_fields)
        return PkvError(
            f"unknown key {key}",
            f"did you mean model.{close[0]}?" if close else f"keys are model.{{{known}}}",
        )
    hint = f"set it in configs/model/{name}.yaml or on the command line"
    if not first["loc"]:
        return PkvError(f"{key}: {first['msg'].removeprefix('Value error, ')}", hint)
    return PkvError(f"{key}={_short(first['input'])}: {first['msg'].removeprefix('Value error, ')}", hint)


def catalogue_names() -> tuple[str, ...]:
    """Names of all entries, sorted.

    Raises:
        PkvError: when the catalogue is not beside the package.
    """
    names = tuple(sorted(file.stem for file in CATALOGUE.glob("*.yaml")))
    if not names:
        raise PkvError(
            f"no model catalogue at {CATALOGUE}", "install the package from a checkout (pip install -e .)"
        )
    return names


def load_catalogue_entry(name: str, **overrides: Any) -> ModelConfig:
    """Read ``configs/model/<name>.yaml``.

    Args:
        name: the file's stem, for example "qwen3-8b".
        overrides: keys to set on top of the file, for example ``dtype="float32"``.

    Raises:
        PkvError: for an unknown name (naming close ones), a wrong key, or a mandatory key left open.
    """
    names = catalogue_names()
    if name not in names:
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else suggestion("", names, "known are")
        raise PkvError(f"unknown model '{short(name)[1:-1]}'", hint)
    file = CATALOGUE / f"{name}.yaml"
    try:
        entry = OmegaConf.merge(OmegaConf.load(file), overrides)
    except (OmegaConfBaseException, YAMLError, ValueError) as error:
        raise PkvError(f"cannot read {file}: {error}", "correct the YAML") from error
    missing = sorted(map(str, OmegaConf.missing_keys(entry)))
    if missing:
        raise PkvError(f"model '{name}' leaves {missing[0]} open", f"set model.{missing[0]}=...")
    values = OmegaConf.to_container(entry, resolve=True)
    if not isinstance(values, dict):
        raise PkvError(f"{file} is not a mapping", "write it as key: value lines")
    return model_config_of({str(key): value for key, value in values.items()})


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
