"""Own files in which something stands twice, is unreadable or would be left out without a word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from experiments import find
from experiments.circuit.settings import CircuitSettings
from experiments.patching.settings import PatchingSettings
from pkv_interp.errors import PkvError
from pkv_interp.run.settings import checked
from pkv_interp.tasks.checks import check_scenarios
from pkv_interp.tasks.pair_file import parse_pairs
from pkv_interp.tasks.pairs import check_pairs

PAIR = {"clean": "It is on. Answer:", "corrupt": "It is off. Answer:", "answer": "yes", "wrong": "no"}
FAMILY = {
    "role": "You are at a desk.",
    "field": "order status",
    "values": ["pending", "shipped"],
    "actions": ["wait", "refund"],
    "request": "The caller waits.",
}


def families(*splits: str | None) -> str:
    """A scenario file of families a, b, ... of these splits."""
    made = [
        {"name": "abcdefgh"[i]} | FAMILY | ({} if split is None else {"split": split})
        for i, split in enumerate(splits)
    ]
    return yaml.safe_dump({"families": made}, sort_keys=False)


@pytest.mark.parametrize("schema", [CircuitSettings, PatchingSettings])
def test_pairs_of_a_third_split_are_named(schema: Any, tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    lines = [
        PAIR
        | {"clean": f"{s}: {PAIR['clean']}", "corrupt": f"{s}: {PAIR['corrupt']}", "split": s, "instance": s}
        for s in ("discovery", "held_out", "confirm")
    ]
    file.write_text("\n".join(map(json.dumps, lines)))
    remark = "p.jsonl: 1 pairs are left out, whose split is not discovery or held_out: confirm"
    assert checked(schema, {"pairs": file}).remarks() == (remark,)


def test_families_without_a_split_are_named(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(families("discovery", "held_out", None, None))
    found = checked(CircuitSettings, {"scenarios": file}).remarks()
    assert "s.yaml: 2 families are left out, whose split is not discovery or held_out: c, d" in found
    named: dict[str, Any] = {"scenarios": file, "discovery": ["a"]}
    assert not any("left out" in remark for remark in checked(CircuitSettings, named).remarks())


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        ("families:", "families: []\nfamilies:", "s.yaml:2: the key 'families' stands in line 1 too"),
        ("  values:", "  values: [x, y]\n  values:", "s.yaml:6: the key 'values' stands in line 5 too"),
    ],
)
def test_a_key_that_stands_twice_is_named(before: str, after: str, place: str, tmp_path: Path) -> None:
    """The later one would win without a word."""
    file = tmp_path / "s.yaml"
    file.write_text(families("discovery", "held_out").replace(before, after, 1))
    assert any(str(problem).endswith(f"{place}; leave one out") for problem in check_scenarios(file))


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('{"clean": "a b", ' + json.dumps(PAIR)[1:], "p.jsonl:1: the key 'clean' stands twice"),
        ('{"clean": ' + "[" * 100_000, "too deep"),
        ('{"clean": ' + "9" * 5000 + "}", "thousands of digits"),
    ],
)
def test_a_line_that_cannot_be_kept_is_named(text: str, cause: str, tmp_path: Path) -> None:
    for name, check in (("p.jsonl", check_pairs), ("s.json", check_scenarios)):
        file = tmp_path / name
        file.write_text(text)
        (problem,) = check(file)
        assert cause.replace("p.jsonl", name) in str(problem)


@pytest.mark.parametrize("text", ["a: " + "[" * 5000 + "]" * 5000, "a: " + "9" * 5000, "a: 2020-13-45"])
def test_yaml_that_python_cannot_hold_is_one_line(text: str, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(text)
    assert check_scenarios(file)


def test_ends_of_lines_inside_a_text_and_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    clean = "It is\u2028on,\x85 yes. Answer:"
    line = json.dumps(PAIR | {"clean": clean}, ensure_ascii=False)
    file.write_bytes(b"\xef\xbb\xbf" + f"{line}\r\n{json.dumps(PAIR)}\r\n".encode())
    found, problems = parse_pairs(file)
    assert problems == []
    assert [one.entry.clean for one in found] == [clean, PAIR["clean"]]


def test_numbers_of_numpy_are_numbers() -> None:
    given = {"seed": np.int64(3), "instances": np.int32(2), "top_k": [np.int64(1), 2]}
    found = checked(CircuitSettings, given)
    assert (found.seed, found.instances, found.top_k) == (3, 2, (1, 2))
    assert type(found.seed) is int
    with pytest.raises(PkvError, match="config key 'seed'"):
        checked(CircuitSettings, {"seed": np.float64(1.5)})


def test_a_set_of_names_has_no_order() -> None:
    with pytest.raises(PkvError, match="a set has no order; give a list"):
        checked(CircuitSettings, {"discovery": {"orders", "support"}})


def test_families_that_rank_and_others_that_score(tmp_path: Path) -> None:
    """Competence counts both, and so do the rows; half an hour of measuring ended in an error once."""
    file = tmp_path / "p.jsonl"
    text = "{} status {}. Answer cancel or deny. Action:"
    lines = []
    for family, split in (("a", "discovery"), ("b", "discovery"), ("c", "held_out"), ("d", "held_out")):
        clean, corrupt = (text.format(family, word) for word in ("red", "blue"))
        line = {"clean": clean, "corrupt": corrupt, "answer": "cancel", "wrong": "deny"}
        lines.append(json.dumps(line | {"family": family, "split": split}))
    file.write_text("\n".join(lines))
    sizes: dict[str, Any] = {"random_draws": 1, "top_k": [1], "shares": [0.5], "grid_cases": 1}
    sizes |= {"knockout_shares": [0.5], "knockout_draws": 1, "bootstrap_draws": 100, "verify": "none"}
    record = find("patching").run(model="tiny-llama", pairs=file, results_dir=tmp_path / "r", **sizes)
    assert record.status == "success"
    assert record.competence is not None
    assert record.competence.accuracy.n_families == 4
    assert {row.family for row in record.rows if row.arm == "unpatched"} == {"a", "b"}
    assert {row.family for row in record.rows if row.arm != "unpatched"} == {"c", "d"}
