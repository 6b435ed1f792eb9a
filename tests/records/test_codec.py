"""Typed results come back as what they were."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float, Int

from pkv_interp.errors import PkvError
from pkv_interp.records.codec import Encoded, decode, encode
from pkv_interp.records.stages import StageFolder, pack, unpack
from pkv_interp.run.stage import Stage
from pkv_interp.stats import Estimate


@dataclass(frozen=True)
class Side:
    margin: float
    right: bool


@dataclass(frozen=True)
class Sites:
    sides: tuple[Side, Side]
    heads: Float[np.ndarray, "layers heads"]
    ranks: Int[np.ndarray, " heads"]
    states: dict[str, float]
    by_layer: dict[int, float]
    order: list[tuple[int, int]]
    estimate: Estimate
    name: str | int
    nothing: float | None = None
    scalar: Float[np.ndarray, ""] | None = None


def example(**changes: Any) -> Sites:
    given: dict[str, Any] = {
        "sides": (Side(1.5, True), Side(-2.0, False)),
        "heads": np.arange(6.0).reshape(2, 3),
        "ranks": np.array([2, 0, 1]),
        "states": {"notes": 0.5},
        "by_layer": {0: 0.25, 7: 1.0},
        "order": [(0, 1), (2, 3)],
        "estimate": Estimate(value=1.0, n_families=1, n_instances=2),
        "name": 3,
    }
    return Sites(**given | changes)


def there_and_back(value: Any, kind: Any) -> Any:
    found = unpack(pack(encode(value, kind, "it"), "it"), "it")
    return decode(found, kind, "it")


def same(one: Sites, other: Sites) -> bool:
    arrays = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("heads", "ranks"))
    plain = ("sides", "states", "by_layer", "order", "estimate", "name", "nothing")
    return arrays and all(getattr(one, name) == getattr(other, name) for name in plain)


def test_everything_comes_back_as_the_same_type() -> None:
    back = there_and_back(example(), Sites)
    assert same(back, example())
    assert isinstance(back.sides[0], Side)
    assert back.heads.dtype == np.float64
    assert back.ranks.dtype == np.int64
    assert isinstance(back.order[0], tuple)
    assert list(back.by_layer) == [0, 7]
    assert isinstance(back.estimate, Estimate)


def test_generic_stages_come_back() -> None:
    stage = Stage({"a/1": example(), "b/2": example(name="x")})
    back = there_and_back(stage, Stage[Sites])
    assert list(back.results) == ["a/1", "b/2"]
    assert same(back.results["b/2"], example(name="x"))


def test_numpy_scalars_and_tensors_are_numbers_and_arrays() -> None:
    numbers: Any = (np.float32(1.5), np.bool_(True))
    odd = example(
        sides=(Side(*numbers), Side(np.float64(-2.0), False)),
        heads=torch.arange(6, dtype=torch.float64).reshape(2, 3),
    )
    assert same(there_and_back(odd, Sites), example())


def test_the_same_content_gives_the_same_bytes() -> None:
    one, other = (pack(encode(example(), Sites, "it"), "it") for _ in range(2))
    assert one == other


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"heads": np.arange(3.0)}, r"shape \(3,\)"),
        ({"heads": np.zeros((2, 3), int)}, "int64"),
        ({"states": {(1, 2): 0.5}}, "key that is neither text nor a number"),
        ({"name": object()}, "object at /name"),
        ({"nothing": float("nan")}, "not finite"),
    ],
)
def test_what_would_not_come_back_is_refused(change: dict[str, Any], cause: str) -> None:
    with pytest.raises(PkvError, match=cause):
        pack(encode(example(**change), Sites, "it"), "it")


def test_another_shape_on_disk_is_refused() -> None:
    encoded = encode(example(), Sites, "it")
    tree = json.loads(json.dumps(encoded.tree))
    tree["heads"]["shape"] = [6]
    with pytest.raises(PkvError, match="it is not what it was stored as"):
        decode(Encoded(tree, encoded.arrays), Sites, "it")
    tree = json.loads(json.dumps(encoded.tree))
    del tree["ranks"]
    with pytest.raises(PkvError, match="ranks"):
        decode(Encoded(tree, encoded.arrays), Sites, "it")


def test_a_part_is_computed_once(tmp_path: Path) -> None:
    folder, calls = StageFolder(tmp_path / "k"), []

    def compute() -> Side:
        calls.append(1)
        return Side(1.0, True)

    ticks = iter([0.0, 2.5])
    first = folder.once("a name/with: odd*characters", compute, Side, lambda: next(ticks))
    second = folder.once("a name/with: odd*characters", compute, Side, lambda: 0.0)
    assert (first.value, first.seconds) == (second.value, second.seconds) == (Side(1.0, True), 2.5)
    assert len(calls) == 1
    assert folder.read("another", Side) is None


@pytest.mark.parametrize("damage", [b"", b"{", b"garbage" * 10])
def test_a_damaged_part_is_computed_again(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    folder = StageFolder(tmp_path / "k")
    folder.once("c", lambda: Side(1.0, True), Side, lambda: 0.0)
    (file,) = folder.folder.iterdir()
    file.write_bytes(damage)
    assert folder.read("c", Side) is None
    assert "measured again" in caplog.text


def test_a_part_of_another_type_is_computed_again(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path / "k")
    folder.once("c", lambda: Side(1.0, True), Side, lambda: 0.0)
    assert folder.read("c", Sites) is None


def test_an_edited_part_is_noticed(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path / "k")
    folder.once("c", lambda: Side(1.0, True), Side, lambda: 0.0)
    (file,) = folder.folder.iterdir()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    assert folder.read("c", Side) is None
