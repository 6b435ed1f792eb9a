"""The recipes of docs/architecture.md, followed in a copy of the repository: what they add runs there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import ROOT, all_blocks

FOLDERS = ("pkv_interp", "experiments", "configs", "docs", "tests", "results")
RECIPES = [block for block in all_blocks() if block.document == "docs/architecture.md" and block.what]


def changed(text: str, diff: str) -> str:
    """A text after a diff: lines after ``@@`` are searched for from where the last ones were found.

    Raises:
        AssertionError: a line that the diff keeps or takes out is not there.
    """
    lines, at, anchored, held = text.splitlines(), -1, False, list[str]()
    for line in diff.splitlines():
        mark, body = line[:1], line[1:]
        if mark == "@":
            anchored = False
        elif mark == "+" and anchored:
            at += 1
            lines.insert(at, body)
        elif mark == "+":
            held.append(body)
        else:
            assert body in lines[at + 1 :], f"not in the file any more: {body}"
            at = lines.index(body, at + 1)
            lines[at : at + (mark == "-")] = held
            at += len(held) - (mark == "-")
            anchored, held = True, []
    assert not held
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository in which every recipe was followed; weights and results stay out of it."""
    folder = tmp_path_factory.mktemp("recipes")
    # What is compiled comes with it: compiling all of it again takes seconds.
    left_out = shutil.ignore_patterns("gate_*", "*.safetensors", "*.json", "*.zst", "*.png")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=left_out)
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "Makefile",
        "pyproject.toml",
        "experiments/bench/ratios.json",
    ):
        shutil.copy(ROOT / name, folder / name)
    for recipe in RECIPES:
        place = folder / recipe.path
        place.parent.mkdir(exist_ok=True, parents=True)
        old = place.read_text(encoding="utf-8") if place.exists() else ""
        assert bool(old) == (recipe.what == "change"), recipe.path
        new = changed(old, recipe.code) if recipe.what == "change" else recipe.code
        place.write_text(new, encoding="utf-8")
    return folder


def run(copy: Path, *arguments: str) -> str:
    """What Python prints when it is run in the copy."""
    env = {**os.environ, "PYTHONPATH": str(copy), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=env, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_no_recipe_takes_five_places() -> None:
    places = {
        "model": {b.path for b in RECIPES if b.path.startswith("configs/model/")},
        "method": {b.path for b in RECIPES if "next_tokens" in b.code},
        "intervention": {b.path for b in RECIPES if "/interventions/" in b.path or "/engine/" in b.path},
        "experiment": {
            "/".join(Path(b.path).parts[:2])
            for b in RECIPES
            if b.path.startswith("experiments/")
            or b.path == "configs/keys_or_values.yaml"
            or "keys_or_values" in b.code
        },
    }
    for what, found in places.items():
        assert 1 <= len(found) < 5, what


#: One process for all that the additions do: importing takes longer than doing it.
ADDED = """
import sys
import torch
from experiments.summarise.__main__ import main as summarise
from pkv_interp.editing import EditableContext, field, user
from pkv_interp.engine import Engine
from pkv_interp.interventions import HeadPatch, HeadValue
from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.models.load import load
from tests import runs

loaded = load(load_catalogue_entry("tiny-llama"))
text = user("The order status is ", field("order status", "pending"), ". Cancel it if pending, else deny.")
base = EditableContext(loaded.model, loaded.tokenizer, [text]).prefill()
after = base.spans["order status"][1]
mine = base.edit("order status", "shipped", "next_tokens@3")
same = base.edit("order status", "shipped", "recompute@3", ranking=[after + 2, after, after + 1])
for a, b in zip(mine.cache.values, same.cache.values, strict=True):
    assert torch.equal(a, b)
assert mine.cost.tokens == same.cost.tokens
assert not torch.equal(mine.cache.values[-1], base.cache.values[-1])
print("the method does what it says")

engine = Engine(loaded)
one, two = (engine.prefill([5, token, 9, 11, 7]) for token in (20, 30))
rows = [(HeadPatch(1, 0, 0),), (HeadValue(1, 0, two.z[1, 0]),), ()]
patched, set_, plain = engine.decode(one, rows, (two,)).logits
assert torch.equal(patched, set_)
assert not torch.equal(patched, plain)
print("the intervention does what it says")

results, drawn = sys.argv[1:]
sizes = ["model=tiny-llama", "families=[documents,alerts]", "bootstrap_draws=100"]
runs.inside("keys_or_values", *sizes, f"results_dir={results}")
assert summarise([results]) == 0
runs.inside("figures", f"results_dir={results}", f"output_dir={drawn}", "png=false")
"""


@pytest.fixture(scope="module")
def ran(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What `ADDED` prints, and the folder of its results and figures."""
    folder = tmp_path_factory.mktemp("ran")
    return run(copy, "-c", ADDED, str(folder / "results"), str(folder)), folder


def test_the_method_and_the_intervention_do_what_they_say(ran: tuple[str, Path]) -> None:
    said = ran[0].splitlines()
    assert {"the method does what it says", "the intervention does what it says"} <= set(said)


def test_the_experiment_runs_is_summarised_again_and_drawn(ran: tuple[str, Path]) -> None:
    said, folder = ran
    (path,) = (folder / "results" / "keys_or_values").glob("*.json")
    record = json.loads(path.read_text())
    assert [line["part"] for line in record["tables"]["parts"]] == ["K", "V", "KV"]
    assert list(record["headline"]) == ["competence"]
    assert "0 of them changed" in said
    assert (folder / "keys_or_values" / "tiny-llama" / "recovery_by_part.html").is_file()


#: Several command lines of pytest in one process, for the same reason.
TESTS = """
import json, sys
import pytest

for line in json.loads(sys.argv[1]):
    assert pytest.main(["-p", "no:xdist", *line]) == 0, line
"""


def test_the_additions_keep_the_rules_of_the_house_and_the_contracts(copy: Path) -> None:
    new = sorted({recipe.path for recipe in RECIPES if recipe.path.endswith(".py")})
    run(copy, "-m", "ruff", "check", *new)
    run(copy, "-m", "ruff", "format", "--check", *new)
    wanted = "keys_or_values or told or arrow or summary or circles or my-qwen or methods"
    rules = ["tests/experiments/test_configs.py", "tests/test_architecture.py", "tests/test_docs.py"]
    added = "keys_or_values or small_run or next_tokens"
    contracts = ["tests/contracts/test_experiments.py", "tests/contracts/test_editing_methods.py"]
    lines = [["-m", "not slow", "-k", wanted, *rules], ["-k", added, *contracts]]
    out = run(copy, "-c", TESTS, json.dumps(lines))
    # No test is a failure of its own: pytest's exit code is 5 then.
    assert out.count(" passed") == len(lines)
