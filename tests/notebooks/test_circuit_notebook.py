"""The notebook runs from top to bottom on a record, without a network and without a browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from pkv_interp.plots.tables import NOT_COMPETENT
from tests.notebooks.executing import Kernel, pages, printed
from tests.runs import ROOT

NOTEBOOK = ROOT / "notebooks" / "circuit.ipynb"


@pytest.fixture(scope="module")
def executed(kernel: Kernel, circuit_results: Path) -> Any:
    return kernel.execute(NOTEBOOK, circuit_results, PKV_NOTEBOOK_MODEL="tiny-llama")


def test_it_says_which_record_it_fell_back_to(executed: Any) -> None:
    text = printed(executed)
    assert "circuit: no record of smollm2-135m-gate; this is the newest one present" in text
    assert "model tiny-llama, record tiny-llama-" in text
    assert NOT_COMPETENT in text
    assert "There is no figure to compare." in text


def test_figures_are_inline(executed: Any) -> None:
    drawn = pages(executed)
    assert len(drawn) == 10
    assert all("Plotly.newPlot" in page for page in drawn)
    assert not any(re.search(r'src="https?:[^"]*plotly', page) for page in drawn), "the script must be inline"


def test_a_head_is_patched_by_hand(executed: Any) -> None:
    text = printed(executed)
    number = r"([+-]\d+\.\d+)"
    lines = (
        rf"clean margin +{number}",
        rf"corrupt margin +{number}",
        rf"layer \d+, head \d+ patched {number}",
        rf"recovery +{number}",
    )
    found = re.search("\n".join(lines), text)
    assert found, text
    clean, corrupt, patched, recovery = map(float, found.groups())
    assert patched != corrupt
    assert recovery == pytest.approx((patched - corrupt) / (clean - corrupt), abs=0.02)
