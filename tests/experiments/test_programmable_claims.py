"""Criteria of the experiment on programmable caches, and settings that cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.programmable.claims import parse
from experiments.programmable.settings import PREREGISTRATION, ProgrammableSettings
from pkv_interp.errors import PkvError


class TestCriteria:
    def test_the_committed_file_has_every_criterion_of_success(self):
        found = parse(PREREGISTRATION.read_text("utf-8")).criteria
        told = {one.name: (one.role, one.relation, one.threshold) for one in found}
        assert told["field_only_isolated_56"] == ("programmable", "at least", 0.95)
        assert told["isolated_gap_24"] == ("programmable", "at most", 0.03)
        assert told["bystander_flips"] == ("programmable", "at most", 0.02)
        assert told["splice_gap"][2] == 0.03
        assert told["plain_accuracy"][2] == 0.98
        assert told["chat_loss"][2] == 1.02

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("criteria: [", "is not YAML"),
            ("criteria: []", "at least 1 item"),
            (
                "criteria:\n- {name: one, figure: plain, role: gate, what: x, relation: over,"
                " threshold: 1.0, source: y}",
                "criteria.0.relation",
            ),
            ("other: 1", "criteria"),
        ],
    )
    def test_a_file_that_is_wrong_is_refused(self, text: str, words: str):
        with pytest.raises(PkvError, match=words):
            parse(text)


class TestSettings:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"programmable": "nowhere"}, "there is no adapter 'nowhere'"),
            ({"reader": "smollm2-135m-base"}, "smollm2-135m-base has no adapter"),
            ({"held_out": ["documents"]}, "name at least two families"),
            ({"doses": ["smollm2-135m-gate"] * 2}, "'doses' names two adapters 'smollm2-135m-gate'"),
            ({"layout": "python_script"}, "the rule of the layout 'python_script' is code"),
        ],
    )
    def test_what_cannot_be_is_refused_before_a_model_loads(self, change: dict[str, Any], words: str):
        with pytest.raises(Exception, match=words):
            ProgrammableSettings.model_validate({"model": "tiny-llama"} | change)
