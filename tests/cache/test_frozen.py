"""The frozen cache: views without copies, edits that leave the source alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pkv_interp.cache import FrozenCache
from pkv_interp.errors import PkvError


def make(length: int = 6, layers: int = 3, seed: int = 0) -> FrozenCache:
    generator = torch.Generator().manual_seed(seed)
    draw = lambda: tuple(torch.randn(1, 2, length, 4, generator=generator) for _ in range(layers))  # noqa: E731
    return FrozenCache(draw(), draw())


def test_view_shares_memory_and_growing_it_leaves_the_source() -> None:
    cache = make()
    before = [key.clone() for key in cache.keys]
    view: Any = cache.view()
    assert view.layers[1].keys.data_ptr() == cache.keys[1].data_ptr()
    new = torch.ones(1, 2, 1, 4)
    view.update(new, new, 1)
    assert view.layers[1].keys.shape[2] == 7
    assert cache.length == 6
    assert all(torch.equal(a, b) for a, b in zip(before, cache.keys, strict=True))


def test_every_view_is_fresh() -> None:
    cache = make()
    new = torch.ones(1, 2, 1, 4)
    cache.view().update(new, new, 0)
    assert cache.view().get_seq_length() == 6


def test_slice_shares_memory() -> None:
    cache = make()
    part = cache.slice(2, 5)
    assert part.length == 3
    assert part.values[0].data_ptr() == cache.values[0][:, :, 2:].data_ptr()
    assert part.nbytes == cache.nbytes // 2


@pytest.mark.parametrize(
    ("part", "keys_change", "values_change"), [("K", True, False), ("V", False, True), ("KV", True, True)]
)
def test_replace_changes_only_what_is_named(part: str, keys_change: bool, values_change: bool) -> None:
    cache, donor = make(), make(seed=1)
    edited = cache.replace((1, 4), donor, layers=(2,), part=part)  # pyright: ignore[reportArgumentType]
    for mine, theirs, new, changes in (
        (cache.keys, donor.keys, edited.keys, keys_change),
        (cache.values, donor.values, edited.values, values_change),
    ):
        expected = mine[2].clone()
        if changes:
            expected[:, :, [1, 4]] = theirs[2][:, :, [1, 4]]
        assert torch.equal(new[2], expected)
        assert new[0] is mine[0]
    assert torch.equal(cache.keys[2], make().keys[2])


def test_replace_in_all_layers() -> None:
    cache, donor = make(), make(seed=1)
    edited = cache.replace(range(6), donor)
    assert all(
        torch.equal(a, b) for a, b in zip(edited.keys + edited.values, donor.keys + donor.values, strict=True)
    )


@pytest.mark.parametrize(
    ("positions", "layers", "part", "message"),
    [
        ((6,), None, "KV", "position 6"),
        ((-1,), None, "KV", "position -1"),
        ((0,), (3,), "KV", "layer 3"),
        ((0,), None, "Q", "part 'Q'"),
    ],
)
def test_replace_refuses_what_is_out_of_range(
    positions: tuple[int, ...], layers: tuple[int, ...] | None, part: str, message: str
) -> None:  # noqa: E501
    with pytest.raises(PkvError, match=message):
        make().replace(positions, make(seed=1), layers, part)  # pyright: ignore[reportArgumentType]


def test_a_donor_of_another_length_is_refused() -> None:
    with pytest.raises(PkvError, match="equal length"):
        make().replace((0,), make(length=7))


def test_bad_slices_and_shapes_are_refused() -> None:
    with pytest.raises(PkvError, match="span 3:9"):
        make().slice(3, 9)
    cache = make()
    with pytest.raises(PkvError, match="one key and one value"):
        FrozenCache(cache.keys, cache.values[:1])
    with pytest.raises(PkvError, match="shape"):
        FrozenCache((torch.zeros(1, 2, 5, 4),), (torch.zeros(1, 2, 6, 4),))
