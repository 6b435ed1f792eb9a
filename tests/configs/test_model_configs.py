"""Every file of configs/model composes, through Hydra, into a checked ModelConfig."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from pkv_interp.errors import PkvError
from pkv_interp.models.adapter import find_adapter
from pkv_interp.models.catalogue import (
    CATALOGUE,
    ModelConfig,
    catalogue_names,
    load_catalogue_entry,
    model_config_of,
)
from pkv_interp.models.tiny import FAMILIES

EXPECTED = {
    *(f"qwen3-{size}" for size in ("0.6b", "1.7b", "4b", "8b", "14b", "32b", "30b-a3b")),
    *(
        "llama-3.1-8b",
        "llama-3.1-70b",
        "gemma-2-2b",
        "gemma-2-9b",
        "gemma-2-27b",
        "gemma-3-4b",
        "gemma-3-27b",
    ),
    *("mistral-7b", "deepseek-r1-distill-llama-8b", "smollm2-135m", "smollm2-360m", "smollm2-1.7b"),
    *(
        "smollm2-135m-gate",
        "smollm2-135m-gate-early",
        "smollm2-135m-gate-late",
        "smollm2-135m-programmable",
        "smollm2-135m-memory",
        "smollm2-135m-base",
        "gemma3-270m-gate",
        "gemma3-270m-base",
        "local",
        "gguf",
    ),
    *("qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"),
    *(f"tiny-{family}" for family in FAMILIES),
    *("tiny-table", "falcon-h1-1.5b", "falcon-mamba-7b", "qwen3-next-80b-a3b"),
    *("deepseek-v2-lite", "deepseek-coder-v2-lite"),
    *("vision-untrained", "vision-tiny", "qwen2.5-vl-3b", "qwen2.5-vl-7b", "qwen3-vl-8b"),
}
OPEN = {"local": "/somewhere", "gguf": "/somewhere.gguf"}
#: Entries that stand for any folder or file are called after it.
NAMED = {"local": "local-somewhere", "gguf": "gguf-somewhere.gguf"}


def composed(name: str, *overrides: str) -> dict[str, object]:
    with initialize_config_dir(str(CATALOGUE.parent), version_base=None):
        config = compose(f"model/{name}", overrides=list(overrides))
    values = OmegaConf.to_container(config.model, resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def test_the_catalogue_is_complete() -> None:
    assert set(catalogue_names()) == EXPECTED


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_file_composes(name: str) -> None:
    overrides = [f"model.path={OPEN[name]}"] if name in OPEN else []
    config = model_config_of(composed(name, *overrides))
    assert config.name == NAMED.get(name, name)
    assert config == load_catalogue_entry(name, **({"path": OPEN[name]} if name in OPEN else {}))


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_no_file_carries_an_unknown_or_packaged_key(name: str) -> None:
    text = (CATALOGUE / f"{name}.yaml").read_text()
    assert "@package" not in text
    assert set(OmegaConf.load(CATALOGUE / f"{name}.yaml")) <= set(ModelConfig.model_fields)


def test_an_override_on_the_command_line_arrives() -> None:
    assert model_config_of(composed("qwen3-8b", "model.dtype=float32")).dtype == "float32"
    assert model_config_of(composed("tiny-llama", "model.seed=3")).seed == 3


def test_entries_of_the_hub_name_a_repository_and_a_revision() -> None:
    entries = [load_catalogue_entry(name) for name in EXPECTED - set(OPEN)]
    hub = [entry for entry in entries if entry.source == "hub"]
    assert len(hub) == 27  # 8 Qwen3, 2 Llama, 5 Gemma, Mistral, 3 DeepSeek, 3 SmolLM2, 2 Falcon, 3 Qwen-VL
    assert all(entry.hub_id and entry.hub_id.count("/") == 1 and entry.revision for entry in hub)
    assert all(entry.attention == "eager" for entry in hub if entry.name.startswith("gemma-2"))
    assert all(
        entry.thinking is False
        for entry in hub
        if entry.name.startswith("qwen3-") and "next" not in entry.name and "vl" not in entry.name
    )


@pytest.mark.parametrize(
    ("name", "overrides", "told"),
    [
        ("qwen3-8", {}, "unknown model 'qwen3-8'; did you mean qwen3-8b"),
        ("zzzz", {}, "unknown model 'zzzz'; known are deepseek"),
        ("../model/qwen3-8b", {}, "unknown model"),
        ("local", {}, "model 'local' leaves path open; set model.path="),
        ("qwen3-8b", {"dtpe": "float32"}, "unknown key model.dtpe; did you mean model.dtype?"),
        ("qwen3-8b", {"dtype": "int8"}, "model.dtype='int8'"),
        ("qwen3-8b", {"device": "gpu"}, "model.device='gpu'"),
        ("qwen3-8b", {"attention": "flash_attention_2"}, "model.attention='flash_attention_2'"),
        ("qwen3-8b", {"seed": 1}, "source 'hub' has no use for model.seed"),
        ("qwen3-8b", {"path": "x"}, "source 'hub' has no use for model.path"),
        ("qwen3-8b", {"package": "gemma3-270m"}, "source 'hub' has no use for model.package"),
        ("tiny-llama", {"package": "smollm2-135m"}, "source 'tiny' has no use for model.package"),
        ("smollm2-135m-base", {"package": "gemma"}, "model.package='gemma'"),
        ("qwen3-8b", {"thinking": "yes"}, "model.thinking='yes'"),
        ("qwen3-8b", {"hub_id": None}, "source 'hub' needs model.hub_id"),
        ("qwen3-8b", {"quantise_4bit": True, "adapter": "x"}, "cannot be merged into 4-bit"),
        ("smollm2-135m-gate", {"quantise_4bit": True}, "quantise_4bit does not apply to source 'embedded'"),
        ("gguf", {"path": None}, "source 'gguf' needs model.path, or both"),
        ("tiny-llama", {"family": "gpt2"}, "model.family='gpt2'"),
        ("tiny-llama", {"seed": -1}, "model.seed=-1"),
        ("tiny-llama", {"pattern": "blind"}, "model.pattern='blind'"),
    ],
)
def test_bad_entries_are_told_in_one_line(name: str, overrides: dict[str, object], told: str) -> None:
    with pytest.raises(PkvError) as caught:
        load_catalogue_entry(name, **overrides)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_catalogue_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("pkv_interp.models.catalogue.CATALOGUE", tmp_path)
    with pytest.raises(PkvError, match="no model catalogue at"):
        load_catalogue_entry("qwen3-8b")


def test_broken_yaml_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("pkv_interp.models.catalogue.CATALOGUE", tmp_path)
    (tmp_path / "x.yaml").write_text("- a\n- b\n")
    with pytest.raises(PkvError, match=r"x\.yaml"):
        load_catalogue_entry("x")
    (tmp_path / "x.yaml").write_text("a: [1\n")
    with pytest.raises(PkvError, match=r"cannot read .*x\.yaml"):
        load_catalogue_entry("x")


def test_every_adapter_that_an_entry_names_is_there_and_its_own() -> None:
    """Adapters of other curricula must not stand under the default gate's name."""
    named = {name: load_catalogue_entry(name).adapter for name in EXPECTED - set(OPEN)}
    adapters = {name: find_adapter(adapter) for name, adapter in named.items() if adapter is not None}
    assert {"smollm2-135m-gate", "smollm2-135m-gate-early", "smollm2-135m-gate-late"} <= set(adapters)
    weights = {(place / "adapter_model.safetensors").read_bytes() for place in adapters.values()}
    assert len(weights) == len(adapters)
