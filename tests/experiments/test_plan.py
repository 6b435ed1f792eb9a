"""The command that plans: its lines, and what it refuses."""

from __future__ import annotations

import pytest

from experiments.plan.settings import PlanSettings
from experiments.plan.show import lines, time_told
from pkv_interp.errors import PkvError
from tests.experiments.configs import compose


def planned(*overrides: str) -> list[str]:
    settings = compose("plan", *overrides)
    assert isinstance(settings, PlanSettings)
    return lines(settings)


def test_a_large_model_is_planned_for_a_gpu() -> None:
    found = planned("model=llama-3.1-70b", "target=gpu", "gmacs=150000", "memory_gib=160")
    assert found[0].startswith("llama-3.1-70b: 70.55 billion parameters in bfloat16, 80 layers")
    parts = {line.split("GiB")[0].rsplit(maxsplit=1)[0].strip(): line for line in found if "GiB" in line}
    assert list(parts)[:6] == ["weights", "prefix", "donors", "captures", "packed rows", "in all"]
    assert float(parts["weights"].split()[-2]) == pytest.approx(70.553706496e9 * 2 / 2**30, abs=1e-3)
    assert any(line == "  160 GiB: fits" for line in found)
    assert sum("pairs" in line for line in found) == 4
    assert "given" in found[-1]


def test_what_does_not_fit_is_told() -> None:
    asked = ("model=llama-3.1-70b", "target=gpu", "gmacs=1000", "memory_budget_mb=64", "tokens=4000")
    assert any("does not fit" in line for line in planned(*asked, "memory_gib=80"))
    assert any("fits with captures on the host" in line for line in planned(*asked, "memory_gib=150"))
    four = planned("model=llama-3.1-70b", "target=gpu", "gmacs=1000", "model.quantise_4bit=true")
    assert "in 4-bit" in four[0]
    assert 35 < float(four[1].split()[1]) < 45


def test_what_a_plan_refuses() -> None:
    with pytest.raises(PkvError, match="a GPU's rate cannot be measured on this CPU; set gmacs"):
        planned("target=gpu")
    with pytest.raises(PkvError, match="at least two fewer"):
        planned("tokens=20", "notes=19")


def test_times_are_told_in_the_unit_that_suits_them() -> None:
    told = [time_told(s) for s in (3.0, 300.0, 8000.0, 300000.0)]
    assert told == ["3.0 seconds", "5.0 minutes", "2.2 hours", "3.5 days"]
