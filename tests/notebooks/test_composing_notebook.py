"""The composing notebook runs from top to bottom: live splices on any model, records where there are some."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from pkv_interp.plots.tables import NOT_COMPETENT
from tests.notebooks.executing import Kernel, outputs, pages, printed
from tests.runs import ROOT

NOTEBOOK = ROOT / "notebooks" / "composing.ipynb"
LIVE = 2
FIGURES = {"composing": 5, "keystone": 1, "agent": 5}
#: As a data frame shows the lines of the arms: margin, KL, tokens run.
SCORES = r"\s+(-?\d+\.\d+)\s+(-?\d+\.\d+(?:e[+-]\d+)?)\s+(\d+)"


@pytest.fixture(scope="module")
def executed(
    kernel: Kernel,
    composing_results: Path,
    keystone_results: Path,
    agent_results: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    """The notebook over records of which one lacks a table."""
    results = tmp_path_factory.mktemp("composing_notebook") / "results"
    for made in (composing_results, keystone_results, agent_results):
        shutil.copytree(made, results, dirs_exist_ok=True)
    (path,) = (results / "agent").glob("*.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    del record["tables"]["layouts"]
    path.write_text(json.dumps(record), encoding="utf-8")
    return kernel.execute(NOTEBOOK, results, PKV_NOTEBOOK_MODEL="tiny-llama")


@pytest.fixture(scope="module")
def without(kernel: Kernel, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return kernel.execute(NOTEBOOK, tmp_path_factory.mktemp("nothing"), PKV_NOTEBOOK_MODEL="tiny-gemma3")


def scores(notebook: Any, *cells: str) -> list[tuple[float, float, int]]:
    """Margin, KL and tokens run of the lines of the tables that hold these words next to one another."""
    shown = "\n".join(out.data.get("text/plain", "") for out in outputs(notebook) if "data" in out)
    found = re.findall(r"\s+".join(map(re.escape, cells)) + r"\s+(?:refund|escalate)" + SCORES, shown)
    return [(float(margin), float(kl), int(tokens)) for margin, kl, tokens in found]


def test_a_policy_is_spliced_after_two_prefixes(executed: Any) -> None:
    chunk = re.search(r"model tiny-llama: the policy is (\d+) tokens", printed(executed))
    assert chunk
    full, spliced, unturned = (scores(executed, arm) for arm in ("full prefill", "splice", "no rotation"))
    assert len(spliced) == len(unturned) == 4
    for (_, exact, all_tokens), (_, kl, tokens), (_, worse, _) in zip(
        full[:4], spliced, unturned, strict=True
    ):
        assert exact == 0.0
        assert tokens == all_tokens - int(chunk[1])
        assert 0.0 < kl != worse


def test_a_chunk_made_in_its_own_context_changes_nothing(executed: Any) -> None:
    arms = scores(executed, "splice, made in the twin of the other value")
    own, other = arms[:2], arms[2:]
    assert len(own) == len(other) == 2
    assert all(kl < 1e-6 for _, kl, _ in own)
    assert all(kl > 1e-6 for _, kl, _ in other)


def test_a_field_is_edited_in_a_composed_context(executed: Any) -> None:
    ((_, kl, _),) = scores(executed, "suspended to verified by full_reprefill")
    ((_, stale, _),) = scores(executed, "composed, suspended")
    assert kl < 1e-6 < stale


def test_a_library_refuses_what_does_not_fit(executed: Any) -> None:
    text = printed(executed)
    assert "was made with another weights; precompile the chunk with this model" in text
    assert "chunk 1 was made by another model (weights, dtype or rope differ)" in text


@pytest.mark.parametrize("which", ["executed", "without"])
def test_keys_come_back(which: str, request: pytest.FixtureRequest) -> None:
    text = printed(request.getfixturevalue(which))
    found = re.search(r"changed by up to (\S+) on the way there\nthere and back: largest error (\S+),", text)
    assert found, text
    assert float(found[1]) > 0.1
    assert float(found[2]) <= 1e-5
    assert "values untouched: True" in text


def test_figures_of_the_records_stand_beside_the_live_ones(executed: Any) -> None:
    drawn = pages(executed)
    assert len(drawn) == LIVE + sum(FIGURES.values()) - 1
    assert not any(re.search(r'src="https?:[^"]*plotly', page) for page in drawn), "scripts must be inline"
    text = printed(executed)
    for experiment in FIGURES:
        assert f"{experiment}: model tiny-llama, record tiny-llama-" in text
    assert NOT_COMPETENT in text
    assert "This record states no transplant_kl or transplant_agreement" in text


def test_a_table_that_is_missing_is_left_out_with_a_line(executed: Any) -> None:
    assert re.findall(r"left out: .*has no table '(\w+)'", printed(executed)) == ["layouts"]


def test_without_a_record_the_live_part_still_runs(without: Any) -> None:
    text = printed(without)
    assert "model tiny-gemma3" in text
    for experiment in FIGURES:
        assert text.count(f"make one with `python -m experiments.{experiment}`") == 1
    assert "There is no figure to compare." in text
    assert len(pages(without)) == LIVE
