"""Counters of servers: read by engine, missing ones an error, and two accounts held against each other."""

from __future__ import annotations

import pytest

from pkv_interp.errors import PkvError
from pkv_interp.serving.counters import Counted, counted

LLAMA = """# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed.
llamacpp:prompt_tokens_total 72
llamacpp:prompt_tokens_cached_total 187
llamacpp:prompt_tokens_seconds 2642.01
"""
VLLM = """vllm:prompt_tokens_by_source_total{engine="0",model_name="m",source="local_compute"} 30.0
vllm:prompt_tokens_by_source_total{engine="1",model_name="m",source="local_compute"} 10.0
vllm:prompt_tokens_by_source_total{engine="0",model_name="m",source="local_cache_hit"} 50.0
vllm:prompt_tokens_by_source_total{engine="0",model_name="m",source="external_kv_transfer"} 10.0
vllm:prompt_tokens_by_source_created{engine="0",model_name="m",source="local_compute"} 1.7e9
"""


def test_either_engine_is_read() -> None:
    assert counted(LLAMA, "llama") == Counted(72, 187)
    assert counted(VLLM, "vllm") == Counted(40, 60)
    assert counted(VLLM, "vllm").hit_rate == 0.6
    assert Counted(0, 0).hit_rate == 0.0


@pytest.mark.parametrize(
    ("text", "engine"),
    [
        (LLAMA, "vllm"),
        (VLLM, "llama"),
        ("", "llama"),
        (LLAMA.replace("cached", "kept"), "llama"),
        ("\n".join(line for line in VLLM.splitlines() if "external" not in line), "vllm"),
    ],
)
def test_a_counter_that_is_missing_is_an_error(text: str, engine: str) -> None:
    with pytest.raises(PkvError, match="/metrics lacks"):
        counted(text, engine)


def test_accounts_that_differ_are_seen_even_where_their_hit_rates_agree() -> None:
    whole, half = Counted(40, 60), Counted(20, 30)
    assert whole.hit_rate == half.hit_rate
    assert whole.off_by(half) == half.off_by(whole) == 0.5
    assert whole.off_by(whole) == 0.0
    assert whole - half == half
    assert Counted(0, 0).off_by(Counted(0, 0)) == 0.0
