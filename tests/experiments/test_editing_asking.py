"""Kinds of edit that the diagnostic is asked about: those that can be made in place."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.editing import asking, errata_summary
from experiments.editing.asking import KindsOfEdit, ask_every_kind
from experiments.editing.cases import build_cases
from pkv_interp.editing import EditableContext, field, user
from pkv_interp.measure.edit_scenes import SceneSource
from tests import runs
from tests.experiments.configs import compose
from tests.families import tiny


@pytest.mark.parametrize(("new", "fits"), [("shipped", True), ("shipped at noon", False)])
def test_a_value_fits_where_it_takes_as_many_tokens(new: str, fits: bool) -> None:
    loaded = tiny("llama")
    says = user("order status: ", field("order status", "pending"), "\n\n")
    context = EditableContext(loaded.model, loaded.tokenizer, [says])
    assert asking._as_long(context, ("order status", new)) is fits  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("fits", [True, False])
def test_a_value_that_is_read_back_is_asked_about_where_it_fits(
    fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, settings = tiny("llama"), compose("editing", *runs.EDITING)
    source = SceneSource.of(settings, loaded.tokenizer)  # pyright: ignore[reportArgumentType]
    scene: Any = build_cases(settings, source).frontier[0]  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr(asking, "_as_long", lambda *_: fits)
    kinds = ask_every_kind(loaded, scene, source, "tagged").kinds
    assert set(kinds) == {"gating", "bystander", *(["value"] if fits else [])}


def test_kinds_are_those_that_some_scene_has() -> None:
    one: Any = object()
    found = [KindsOfEdit({"gating": one}), KindsOfEdit({"gating": one, "value": one})]
    assert errata_summary._kinds(found) == ["gating", "value"]  # pyright: ignore[reportPrivateUsage]
