"""Interventions check themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
import torch

from pkv_interp.errors import PkvError
from pkv_interp.interventions import HeadPatch, Knockout, KVPatch, MLPPatch, ResidualEdit


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KVPatch((), 0), "does nothing"),
        (lambda: KVPatch((1,), 0, ()), "does nothing"),
        (lambda: KVPatch((-1,), 0), "position -1"),
        (lambda: KVPatch((1,), -1), "donor -1"),
        (lambda: KVPatch((1,), 0, (-2,)), "layer -2"),
        (lambda: KVPatch((1,), 0, part="Q"), "part 'Q'"),  # pyright: ignore[reportArgumentType]
        (lambda: KVPatch([1], 0), "must be tuples"),  # pyright: ignore[reportArgumentType]
        (lambda: KVPatch((1.5,), 0), "position 1.5"),  # pyright: ignore[reportArgumentType]
        (lambda: Knockout(()), "does nothing"),
        (lambda: HeadPatch(-1, 0, 0), "layer -1"),
        (lambda: HeadPatch(0, -1, 0), "head -1"),
        (lambda: HeadPatch(0, 0, 0, -1), "position -1"),
        (lambda: MLPPatch(0, True), "donor True"),
        (lambda: MLPPatch(0, 0, -3), "position -3"),
        (lambda: ResidualEdit(0, 0, torch.zeros(4), "mul"), "mode 'mul'"),  # pyright: ignore[reportArgumentType]
        (lambda: ResidualEdit(0, 0, torch.zeros(1, 4)), r"shape \(1, 4\)"),
    ],
)
def test_bad_interventions_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(PkvError, match=message):
        make()


def test_interventions_are_frozen_and_equal_by_value() -> None:
    patch = KVPatch((1, 2), 0, (3,), "K")
    assert patch == KVPatch((1, 2), 0, (3,), "K")
    with pytest.raises(FrozenInstanceError):
        patch.donor = 1  # pyright: ignore[reportAttributeAccessIssue]
