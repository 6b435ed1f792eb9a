"""The load check and its numbers: kept once per model, made again where they cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pkv_interp.errors import PkvError
from pkv_interp.models import kept_check
from pkv_interp.models.kept_check import kept_check as check_of
from pkv_interp.models.load import LoadedModel
from pkv_interp.models.load_check import LoadCheck, check_model
from tests.engine.support import model_of
from tests.families import FAMILIES, tiny


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", FAMILIES)
def test_models_in_half_precision_pass(family: str, dtype: torch.dtype) -> None:
    loaded = model_of(family, dtype=dtype)
    check = check_model(loaded.model, loaded.spec)
    assert 0 < check.stream < 0.02
    assert 0 < check.attention < 0.02


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LoadedModel:
    """A tiny model, taken for one that is large enough for its check to be kept, and an empty cache."""
    loaded = tiny("llama")
    monkeypatch.setattr(kept_check, "SMALL", 0)
    monkeypatch.setenv("PKV_INTERP_CACHE", str(tmp_path / "cache"))
    return loaded


def _files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "load_checks").glob("*"))


def test_the_check_is_kept_and_read_again(kept: LoadedModel, tmp_path: Path) -> None:
    first = check_of(kept.model, kept.spec, "weights")
    (file,) = _files(tmp_path)
    # Numbers that no check would give show that the file is what is read.
    file.write_text(json.dumps({name: 0.5e-3 for name in first.numbers()}))
    assert check_of(kept.model, kept.spec, "weights") == LoadCheck(*[0.5e-3] * 5)
    assert check_of(kept.model, kept.spec, "other weights") == first
    assert len(_files(tmp_path)) == 2


@pytest.mark.parametrize(
    "content", [b"", b"\xff\x00", b"[]", b"{}", b'{"stream": 0.0}', b'{"stream": "x"}', b"null", b"3"]
)
def test_a_damaged_file_is_made_again(kept: LoadedModel, tmp_path: Path, content: bytes) -> None:
    first = check_of(kept.model, kept.spec, "weights")
    (file,) = _files(tmp_path)
    good = file.read_bytes()
    file.write_bytes(content)
    assert check_of(kept.model, kept.spec, "weights") == first
    assert file.read_bytes() == good


def test_numbers_that_are_not_finite_or_too_large_are_not_believed(kept: LoadedModel, tmp_path: Path) -> None:
    first = check_of(kept.model, kept.spec, "weights")
    (file,) = _files(tmp_path)
    for number in (float("nan"), float("inf"), -1.0, 5.0):
        file.write_text(json.dumps({**first.numbers(), "stream": number}))
        assert check_of(kept.model, kept.spec, "weights") == first


def test_another_config_is_another_check(kept: LoadedModel, tmp_path: Path) -> None:
    check_of(kept.model, kept.spec, "weights")
    before = kept.model.config.rms_norm_eps
    kept.model.config.rms_norm_eps = 0.5
    check_of(kept.model, kept.spec, "weights")
    kept.model.config.rms_norm_eps = before
    assert len(_files(tmp_path)) == 2


def test_a_cache_that_cannot_be_written_is_no_error(
    kept: LoadedModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PKV_INTERP_CACHE", str(tmp_path / "file"))
    assert check_of(kept.model, kept.spec, "weights") == check_model(kept.model, kept.spec)


def test_small_models_leave_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PKV_INTERP_CACHE", str(tmp_path / "cache"))
    loaded = tiny("llama")
    assert check_of(loaded.model, loaded.spec, "weights") == loaded.check
    assert _files(tmp_path) == []


def test_a_cause_that_quotes_pages_of_a_library_is_cut() -> None:
    error = PkvError("word " * 700, "do this")
    assert len(str(error)) < 430
    assert str(error).endswith("word ...; do this")
    assert str(PkvError("short", "do this")) == "short; do this"
