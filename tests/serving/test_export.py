"""What ``export`` writes and refuses, and what reading it back refuses; no engine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pkv_interp.cache import FrozenCache, Runner
from pkv_interp.errors import PkvError
from pkv_interp.models.hashing import weight_sha256
from pkv_interp.models.load import LoadedModel
from pkv_interp.models.tiny import tiny_model
from pkv_interp.serving import export
from pkv_interp.serving.llama import salted_ids
from pkv_interp.serving.stored import path_of, read
from tests.families import tiny as tiny_of
from tests.serving.made import made


def test_round_trip(tiny: LoadedModel, tmp_path: Path) -> None:
    one = made("field_only", tiny.model, tiny.tokenizer)
    path = export(one.given, tmp_path / "caches", **one.named)
    cache = read(path)
    assert (cache.ids, cache.weights, cache.dtype) == (one.ids, weight_sha256(tiny.model), "float32")
    assert cache.windows == Runner.of(tiny.model).windows
    ours = getattr(one.given, "cache", one.given)
    assert isinstance(ours, FrozenCache)
    assert torch.equal(cache.keys, torch.cat(ours.keys))
    assert torch.equal(cache.values, torch.cat(ours.values))
    plain = Runner.of(tiny.model).prefill(one.ids[: cache.probe_keys.shape[2]]).cache
    assert torch.equal(cache.probe_keys, torch.cat(plain.keys))
    assert [p.name for p in (tmp_path / "caches").iterdir()] == [path.name]
    assert export(one.given, tmp_path / "caches", **one.named) == path


def test_each_cache_has_a_name_of_its_own(tmp_path: Path) -> None:
    loaded, (other, _) = tiny_of("llama"), tiny_model("llama", 1)
    paths = []
    for kind, model in (("stale", loaded.model), ("field_only", loaded.model), ("field_only", other)):
        one = made(kind, model, loaded.tokenizer)
        paths.append(export(one.given, tmp_path, **one.named))
    one = made("field_only", loaded.model, loaded.tokenizer)
    paths.append(
        export(
            one.given.cache,  # pyright: ignore[reportAttributeAccessIssue]
            tmp_path,
            runner=Runner.of(loaded.model),
            tokenizer=tiny_of("qwen3").tokenizer,
            ids=one.ids,
        )
    )
    assert len(set(paths)) == 4


def test_what_says_too_little_or_too_much_is_refused(tmp_path: Path) -> None:
    loaded = tiny_of("llama")
    runner, one = Runner.of(loaded.model), made("stale", loaded.model, loaded.tokenizer)
    assert isinstance(one.given, FrozenCache)
    named = {"runner": runner, "tokenizer": loaded.tokenizer}
    with pytest.raises(PkvError, match="a cache alone does not say what it is of"):
        export(one.given, tmp_path)
    with pytest.raises(PkvError, match="ids for a cache of"):
        export(one.given, tmp_path, ids=one.ids[1:], **named)
    with pytest.raises(PkvError, match="token id"):
        export(one.given, tmp_path, ids=[*one.ids[1:], 1 << 20], **named)
    state = made("field_only", loaded.model, loaded.tokenizer).given
    with pytest.raises(PkvError, match="give the state alone"):
        export(state, tmp_path, ids=one.ids, **named)
    other = tiny_of("gemma3")
    with pytest.raises(PkvError, match=r"the cache has 3 layers .* and the model 6"):
        export(one.given, tmp_path, runner=Runner.of(other.model), tokenizer=other.tokenizer, ids=one.ids)
    broken = one.given.replace([2], one.given)
    broken.values[1][0, 0, 2, 0] = float("nan")
    with pytest.raises(PkvError, match="values are not finite"):
        export(broken, tmp_path, ids=one.ids, **named)
    assert list(tmp_path.iterdir()) == []


def test_frequencies_that_follow_the_length_are_refused(tmp_path: Path) -> None:
    model, tokenizer = tiny_model("llama")
    config = type(model.config)(**model.config.to_dict())
    config.rope_parameters = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    runner = Runner.of(type(model)(config).eval())
    ids = range(300, 310)
    with pytest.raises(PkvError, match="follow the length of the context"):
        export(runner.prefill(ids).cache, tmp_path, runner=runner, tokenizer=tokenizer, ids=ids)


def test_damage_is_one_clear_line(tmp_path: Path) -> None:
    loaded = tiny_of("llama")
    path = export(made("field_only", loaded.model, loaded.tokenizer).given, tmp_path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-5] ^= 1
    length = int.from_bytes(whole[:8], "little")
    told = json.loads(whole[8 : 8 + length])
    told["__metadata__"]["weights"] = "0" * 64
    header = json.dumps(told).encode()
    relabelled = len(header).to_bytes(8, "little") + header + whole[8 + length :]
    for broken in (whole[: len(whole) // 2], whole[:100], bytes(flipped), relabelled, b""):
        path.write_bytes(broken)
        with pytest.raises(PkvError, match="is damaged; export the cache again"):
            read(path)
    path.write_bytes(whole)
    moved = path.rename(path.with_stem("0" * 64))
    with pytest.raises(PkvError, match="damaged"):
        read(moved)
    for name in ("../x", "", "a" * 63, None, 7):
        with pytest.raises(PkvError, match="is no name of a cache"):
            path_of(tmp_path, name)


def test_salted_ids_differ_from_the_true_ones_everywhere(tmp_path: Path) -> None:
    loaded = tiny_of("llama")
    caches = []
    for kind in ("stale", "field_only"):
        one = made(kind, loaded.model, loaded.tokenizer, 40)
        caches.append(read(export(one.given, tmp_path, **one.named)))
    drawn = [caches[0].ids, *(salted_ids(cache, salt) for cache in caches for salt in ("a", "b"))]
    for at, one in enumerate(drawn):
        assert all(0 <= token < caches[0].vocab for token in one)
        for other in drawn[:at]:
            assert sum(a == b for a, b in zip(one, other, strict=True)) < 5
    for one in drawn[1:]:
        assert all(a != b for a, b in zip(one, drawn[0], strict=True))


_ALONE = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("transformers", "httpx", "cattrs", "nnsight", "jaxtyping", "einops"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
from pathlib import Path
from pkv_interp.serving.stored import read
print(read(Path(sys.argv[1])).length, sorted(m for m in sys.modules if m.startswith("pkv_interp")))
"""


def test_reading_needs_torch_and_safetensors_alone(tmp_path: Path) -> None:
    loaded = tiny_of("llama")
    one = made("field_only", loaded.model, loaded.tokenizer)
    path = export(one.given, tmp_path)
    line = [sys.executable, "-c", _ALONE, str(path)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{len(one.ids)} ")
    assert "pkv_interp.cache" not in done.stdout
