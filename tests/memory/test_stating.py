"""Settings that an answer states first, against one forward over the whole text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pkv_interp.cache import Runner
from pkv_interp.errors import PkvError
from pkv_interp.memory import stated
from pkv_interp.prompts.notation import PROSE
from pkv_interp.prompts.readout import read_back_cue
from pkv_interp.prompts.rendering import Renderer
from tests.families import tiny
from tests.memory.support import BEFORE, OLD, QUESTION

READ = replace(PROSE, first_token=True)
VALUES, NAMES, CUE = ("on", "off"), ("alerts", "backup"), "Action:"


def test_each_value_is_the_likelier_one_after_all_that_was_stated() -> None:
    loaded = tiny("llama")
    runner, renderer = Runner.of(loaded.model), Renderer(loaded.tokenizer, chat=False, notation=READ)
    asked = (*renderer.after(BEFORE + QUESTION), *renderer.after(read_back_cue(NAMES[0])))
    found = stated(runner, renderer, runner.prefill(asked), NAMES, VALUES, CUE)
    ids, freely = asked, []
    for at, following in enumerate((read_back_cue(NAMES[1]), CUE)):
        logits = runner.prefill(ids).logits
        tokens = [renderer.after(f" {value}")[0] for value in VALUES]
        want = VALUES[int(logits[tokens[1]] > logits[tokens[0]])]
        assert found.values[at] == want
        freely.append(int(logits.argmax()) in tokens)
        ids = (*ids, *renderer.after(f" {want}\n{following}"))
    assert found.freely == all(freely)
    assert float((found.logits - runner.prefill(ids).logits).abs().max()) < 1e-4


def test_without_a_setting_the_answer_follows_at_once() -> None:
    loaded = tiny("llama")
    runner, renderer = Runner.of(loaded.model), Renderer(loaded.tokenizer, chat=False, notation=READ)
    begun = runner.prefill(renderer.after(BEFORE + CUE))
    found = stated(runner, renderer, begun, (), VALUES, CUE)
    assert (found.values, found.freely) == ((), True)
    assert found.logits is begun.logits


def test_values_that_cannot_be_told_apart_are_refused() -> None:
    loaded = tiny("llama")
    runner, renderer = Runner.of(loaded.model), Renderer(loaded.tokenizer, chat=False, notation=READ)
    begun = runner.prefill(renderer.after(BEFORE + read_back_cue(NAMES[0])))
    with pytest.raises(PkvError, match=f"the options '{OLD}' and '{OLD}' share their token"):
        stated(runner, renderer, begun, NAMES, (OLD, OLD), CUE)
