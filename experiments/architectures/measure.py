"""What the experiment on architectures measures: operations of every tiny one, and arms of every model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.architectures.arms import SceneArms, read_arms
from experiments.architectures.checks import judge
from experiments.architectures.settings import ArchitecturesSettings
from pkv_interp.cache.layer_cache import cache_form
from pkv_interp.measure.edit_scenes import EditScene, SceneSource
from pkv_interp.measure.reach import Tried, survey
from pkv_interp.models.architecture_table import ARCHITECTURES
from pkv_interp.models.architectures import tiny_architecture
from pkv_interp.models.catalogue import ModelConfig, load_catalogue_entry
from pkv_interp.models.load_text import info_of_table
from pkv_interp.models.readable import Readable
from pkv_interp.models.spec import ModelInfo
from pkv_interp.models.tiny_tokenizer import tiny_tokenizer
from pkv_interp.models.tokenizer import prepared

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from pkv_interp.run.session import Session


@dataclass(frozen=True)
class ModelArms:
    """One model.

    Attributes:
        name: of the architecture in the table, or of the model.
        special: what is special about its cache, in words; nothing for a model outside the table.
        layers: the kinds of its layers, each once.
        tried: every operation on it; of a model outside the table none.
        scenes: the edits.
    """

    name: str
    special: str
    layers: Sequence[str]
    tried: Sequence[Tried]
    scenes: Sequence[SceneArms]


@dataclass(frozen=True)
class Measured:
    """All that was measured: one model, or every row of the table."""

    models: Sequence[ModelArms]


@dataclass(frozen=True)
class _Row:
    """A row of the table as a stage wants it."""

    instance: str


@dataclass(frozen=True, eq=False)
class OfTable:
    """A tiny model with the tokenizer that all of them share."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    config: ModelConfig

    @classmethod
    def of(cls, name: str, seed: int = 0) -> "OfTable":
        """One row by its name."""
        tokenizer = prepared(tiny_tokenizer("qwen3"), name)
        return cls(tiny_architecture(name, seed), tokenizer, load_catalogue_entry("tiny-table"))


@dataclass(frozen=True)
class _Table:
    """What was asked for, and what a record says of it."""

    config: ModelConfig
    info: ModelInfo


def measure(session: "Session[ArchitecturesSettings]") -> Measured:
    """Try every operation on the tiny architectures, or read one model's prompts."""
    models = _of_table(session) if session.settings.is_table else [_of_model(session)]
    judge(session, models)
    return Measured(models)


def _of_table(session: "Session[ArchitecturesSettings]") -> list[ModelArms]:
    settings = session.settings
    tokenizer = prepared(tiny_tokenizer("qwen3"), settings.model.name)
    names = list(ARCHITECTURES) if settings.architectures is None else list(settings.architectures)
    seed = settings.model.seed
    info = info_of_table(settings.model, (tiny_architecture(name, seed) for name in names), tokenizer)
    session.describe(_Table(settings.model, info))
    scenes = _scenes(settings, tokenizer)

    def of(row: _Row) -> ModelArms:
        loaded = OfTable.of(row.instance, seed)
        return tried_on(row.instance, loaded, [read_arms(loaded, one, settings.erratum) for one in scenes])

    rows = [_Row(name) for name in names]
    return session.each("architectures", rows, of, ModelArms).of(rows)


def tried_on(name: str, loaded: Readable, scenes: Sequence[SceneArms] = ()) -> ModelArms:
    """Every operation tried on one row of the table.

    Args:
        name: of the row.
        loaded: its model.
        scenes: edits that were read of it.
    """
    form = cache_form(loaded.model)
    return ModelArms(
        name, ARCHITECTURES[name].cache, form.kinds(), survey(loaded.model, loaded.tokenizer), scenes
    )


def _of_model(session: "Session[ArchitecturesSettings]") -> ModelArms:
    settings = session.settings
    scenes = _scenes(settings, session.tokenizer)
    loaded = session.text

    def of(scene: EditScene) -> SceneArms:
        return read_arms(loaded, scene, settings.erratum)

    found = session.each("arms", scenes, of, SceneArms).of(scenes)
    return ModelArms(settings.model.name, "", loaded.form.kinds(), (), found)


def _scenes(settings: ArchitecturesSettings, tokenizer: "PreTrainedTokenizerBase") -> list[EditScene]:
    source = SceneSource.of(settings, tokenizer)
    return source.scenes(source.style(settings.n_fillers), settings.instances)
