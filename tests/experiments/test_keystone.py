"""The keystone experiment through its real command line, and its summary on numbers with known answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from experiments._editing_cases import Item, build_items, style_of
from experiments._keystone_cases import (
    CUTS,
    EDITED,
    Versions,
    at_own_position,
    compose,
    composed,
)
from experiments._keystone_summary import summarise
from experiments.figures import FIGURES
from experiments.keystone import KeystoneSettings
from pkv_interp.cache import Runner
from pkv_interp.errors import PkvError
from pkv_interp.figures import NOT_COMPETENT
from pkv_interp.records import Competence, RunRecord, RunStore, load_records, published
from pkv_interp.records.__main__ import main as records_command
from pkv_interp.stats import Estimate
from tests import runs
from tests.experiments.configs import compose as compose_settings
from tests.families import tiny


@pytest.fixture(scope="module")
def record(keystone_results: Path) -> RunRecord:
    (found,) = load_records(keystone_results)
    return found


@pytest.fixture
def settings() -> KeystoneSettings:
    made = compose_settings("keystone", *runs.KEYSTONE)
    assert isinstance(made, KeystoneSettings)
    return made


def lines(record: RunRecord, name: str) -> list[dict[str, Any]]:
    return record.tables[name]  # type: ignore[return-value]


def test_the_record_is_valid_and_its_controls_have_passed(keystone_results: Path, record: RunRecord) -> None:
    assert records_command(["check", str(keystone_results)]) == 0
    controls = {control.name: control.value for control in record.controls}
    assert controls["splice_at_own_position"] <= 1e-4
    assert set(record.headline) == {"competence"}  # random weights claim nothing


def test_the_ends_of_the_scale_are_0_and_1(record: RunRecord) -> None:
    by_method = {line["method"]: line for line in lines(record, "methods")}
    assert list(by_method) == record.config["methods"]
    assert by_method["stale"]["recomputed"] == pytest.approx(0.0, abs=1e-6)
    assert by_method["stale"]["composed"] == pytest.approx(0.0, abs=1e-6)
    assert by_method["full_reprefill"]["recomputed"] == pytest.approx(1.0, abs=1e-4)
    assert [line["cut"] for line in lines(record, "cuts")] == list(CUTS)
    # Both directions of an edit share their prompts, so cuts are measured once.
    assert [line["n"] for line in lines(record, "cuts")] == [3, 3, 3]


@pytest.mark.parametrize("name", FIGURES["keystone"])
def test_figures_are_drawn_and_marked(name: str, record: RunRecord) -> None:
    figure: Any = FIGURES["keystone"][name](record)
    assert NOT_COMPETENT in figure.layout.title.text
    assert len(figure.data) == 2


@pytest.mark.parametrize(
    ("argument", "cause"),
    [
        ("families=[orders]", "name at least two families"),
        ("methods=[erase]", "no editing method 'erase'"),
        ("methods=[stale,stale]", "name each method once"),
        ("erratum=nothing", "has {value} in it"),
    ],
)
def test_settings_are_checked(argument: str, cause: str) -> None:
    kept = [a for a in runs.KEYSTONE if a.split("=")[0] != argument.split("=")[0]]
    with pytest.raises(PkvError, match=cause):
        compose_settings("keystone", *kept, argument)


def items_of(settings: KeystoneSettings) -> list[Item]:
    return build_items(settings, tiny("llama").tokenizer, [style_of(settings, settings.n_fillers)])


def test_a_composed_state_is_blind_and_leaves_the_base_alone(
    settings: KeystoneSettings,
) -> None:
    loaded = tiny("llama")
    item = items_of(settings)[0]
    versions = Versions.of(loaded, item)
    before = [key.clone() for key in versions.old.cache.keys]
    made = composed(loaded, versions.old, EDITED)
    assert made.ids == versions.old.ids
    assert made.cache.length == len(made.ids)
    start = made.layout.head.prompt.kinds.index("session")
    assert torch.equal(made.cache.keys[1][:, :, :start], before[1][:, :, :start])
    assert not torch.allclose(made.cache.values[1], versions.old.cache.values[1], atol=1e-3)
    assert all(torch.equal(a, b) for a, b in zip(versions.old.cache.keys, before, strict=True))
    own = at_own_position(loaded, versions.old, CUTS["split"]).logits()
    torch.testing.assert_close(own, versions.old.logits(), atol=1e-4, rtol=0)


def test_a_full_reprefill_of_a_composed_state_is_a_full_prefill(
    settings: KeystoneSettings,
) -> None:
    loaded = tiny("llama")
    item = items_of(settings)[0]
    versions = Versions.of(loaded, item)
    made = composed(loaded, versions.old, EDITED).edit(item.task.field, item.task.new, "full_reprefill")
    torch.testing.assert_close(made.logits(), versions.new.logits(), atol=1e-4, rtol=0)


def test_chunks_that_leave_a_gap_are_refused() -> None:
    loaded = tiny("llama")
    with pytest.raises(PkvError, match="do not follow one another"):
        compose(Runner.of(loaded.model), loaded, tuple(range(300, 320)), [(2, 5), (6, 9)])


def _edit(method: float, old: float, new: float, shift: float = 0.0) -> dict[str, Any]:
    methods = {"field_only": {"margin": method + shift, "tokens": 2.0}}
    return {"old": old + shift, "new": new + shift, "methods": methods}


def _cut(split: float) -> dict[str, Any]:
    def line(margin: float) -> dict[str, float]:
        return {"margin": margin, "kl": 0.1}

    return {
        end: {"full": line(s), "colocated": line(s), "split": line(split), "independent": line(s)}
        for end, s in (("old", -3.0), ("new", 3.0))
    }


def test_recovery_excludes_and_counts_and_penalties_are_of_agreement(
    tmp_path: Path, settings: KeystoneSettings
) -> None:
    settings = settings.model_copy(update={"methods": ("field_only",)})
    items = items_of(settings)
    edited = [
        {
            "recomputed": _edit(-1.0, -3.0, 1.0),
            # The first item's composed ends are within the noise floor of one another.
            "composed": _edit(-3.0, -3.0, -2.999 if at == 0 else 1.0),
            "top_token_right": [True, True],
        }
        for at in range(len(items))
    ]
    with RunStore(tmp_path).open(experiment="keystone", model={"name": "made-up"}, config={}) as run:
        run.set_model(
            {"revision": None, "weight_sha256": "0" * 64, "random_weights": False, "dtype": "float32"}
        )
        run.noise_floor["margin"] = 0.01
        sure = Estimate(value=1.0, ci_low=1.0, ci_high=1.0, n_families=3, n_instances=6)
        run.competence = Competence(accuracy=sure, threshold=0.8, passed=True)
        run.headline["competence"] = sure
        summarise(run, settings, items, edited, [_cut(3.0) for _ in items[::2]])
    (line,) = lines(run.record, "methods")
    assert (line["recomputed"], line["composed"]) == pytest.approx((0.5, 0.0))
    assert (line["recomputed_excluded"], line["composed_excluded"]) == (0, 1)
    assert line["agreement"] == 1.0
    headline = run.record.headline
    assert headline["field_only_recomputed"].value == pytest.approx(0.5)
    assert headline["split_penalty"].value == pytest.approx(0.5)  # split decides one way whatever the field
    assert headline["independent_penalty"].value == 0.0


def test_published_figures_have_our_names() -> None:
    names = set(published(experiment="keystone")["headline"])
    methods = ("field_only", "recompute@8", "recompute@32", "erratum")
    assert names == {f"{m}_{c}" for m in methods for c in ("recomputed", "composed")}
