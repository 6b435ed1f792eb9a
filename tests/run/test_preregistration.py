"""A preregistration is checked as a whole, and what is wrong with it is told in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import CATALOGUE
from pkv_interp.run.claims import EQUIVALENCE_FLOOR
from pkv_interp.run.preregistration_file import load, parse
from tests.committed import committed

FILE = CATALOGUE.parent / "preregistration.yaml"


def entries() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text())


def with_claim(**changes: Any) -> str:
    """The packaged file with its second claim (over a threshold) changed; None takes a key out."""
    data = entries()
    claim = data["claims"][1] | changes
    data["claims"][1] = {name: value for name, value in claim.items() if value is not None}
    return yaml.safe_dump(data)


def test_the_file_of_right_pairs_differs_in_who_may_be_judged_alone() -> None:
    trial = Path(__file__).parents[2] / "docs/trials/preregistration_right_pairs.yaml"
    first, second = load(FILE), load(trial)
    claims = {claim.name: claim.model_copy(update={"models": ()}) for claim in first.claims}
    gates = {"smollm2-135m-gate", "gemma3-270m-gate"}
    for claim in second.claims:
        assert claim.model_copy(update={"models": ()}) == claims[claim.name]
        (same,) = (one for one in first.claims if one.name == claim.name)
        assert set(claim.models) == set(same.models) & gates
    left = {claim.name for claim in second.claims}
    assert all(claim.name in left for claim in first.claims if set(claim.models) & gates)
    for name, model in second.models.items():
        assert (model.screen, first.models[name].screen) == ("both_sides", "none")
        assert model.model_copy(update={"screen": "none"}) == first.models[name]
    assert set(second.models) == gates
    told = {"models": {}, "claims": ()}
    assert second.model_copy(update=told) == first.model_copy(update=told)


def test_the_packaged_file_is_whole_and_is_a_draft_or_final() -> None:
    plan = load(FILE)
    assert len({claim.name for claim in plan.claims}) == len(plan.claims) >= 9
    assert {claim.direction for claim in plan.claims} == {"over", "under", "between"}
    # A confirmatory run reads its families once: no interval may rest on fewer draws than elsewhere.
    assert plan.sizes.draws >= 2000
    assert all(entry.weight_sha256 is not None for entry in plan.models.values())
    assert plan.equivalence_floor == EQUIVALENCE_FLOOR


def test_its_models_are_those_of_committed_records() -> None:
    known = {
        record.model_name: (record.weights, record.model["weight_sha256"], record.model["adapter_sha256"])
        for record in committed("circuit")
    }
    named = {
        name: (entry.weights, entry.weight_sha256, entry.adapter_sha256)
        for name, entry in load(FILE).models.items()
    }
    assert named == {name: known[name] for name in named}


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("status: [", "is not YAML"),
        ("status: draft\nstatus: final\n", "line 2: the key 'status' stands twice"),
        ("[]", "valid dictionary"),
        (yaml.safe_dump(entries() | {"extra": 1}), "unknown key 'extra'"),
        (yaml.safe_dump(entries() | {"status": "done"}), "'status'='done': "),
        (yaml.safe_dump(entries() | {"competence": "0.8"}), "'competence'='0.8': "),
        (yaml.safe_dump(entries() | {"competence": 1.2}), "'competence'=1.2: .*less than or equal to 1"),
        (yaml.safe_dump(entries() | {"equivalence_floor": 0.0}), "'equivalence_floor'=0.0: .*greater than 0"),
        (yaml.safe_dump(entries() | {"least_families": 1}), "greater than or equal to 2"),
        (yaml.safe_dump(entries() | {"claims": []}), "'claims'.*at least 1"),
        (yaml.safe_dump(entries() | {"models": {}}), "'models'.*at least 1"),
        (yaml.safe_dump(entries() | {"confirm_file_sha256": "abc"}), "'confirm_file_sha256'='abc'"),
        (yaml.safe_dump(entries() | {"claims": entries()["claims"][:1] * 2}), "'field_only' stands 2 times"),
        (with_claim(models=["smollm2-135m"]), "'notes_only' names the model 'smollm2-135m': did you mean"),
        (with_claim(models=[]), "claims.notes_only.models"),
        (with_claim(threshold="0.9"), "'claims.notes_only.threshold'='0.9'"),
        (with_claim(threshold=float("nan")), "'claims.notes_only.threshold'=nan"),
        (with_claim(excludes=None), "over has threshold and excludes, and no around"),
        (with_claim(excludes=0.95), "near side of the threshold for over"),
        (with_claim(direction="under", excludes=0.5), "near side of the threshold for under"),
        (with_claim(direction="between"), "between has around, and neither"),
        (with_claim(direction="above"), "'claims.notes_only.direction'='above'"),
        (with_claim(name="Notes only"), "'claims.Notes only.name'"),
        (with_claim(source=" "), "claims.notes_only.source"),
    ],
)
def test_what_is_wrong_is_one_line(text: str, cause: str) -> None:
    with pytest.raises(PkvError, match=cause) as error:
        parse(text, "claims.yaml")
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("claims.yaml")


@pytest.mark.parametrize("key", sorted(entries()["sizes"]))
def test_every_size_is_written_down(key: str) -> None:
    data = entries()
    del data["sizes"][key]
    with pytest.raises(PkvError, match=f"'sizes.{key}': Field required"):
        parse(yaml.safe_dump(data))


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(PkvError, match="none.yaml cannot be read"):
        load(tmp_path / "none.yaml")
