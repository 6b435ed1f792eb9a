"""Prompts with pictures: prefilled, appended to, run again in place, against the models' own forwards."""

from __future__ import annotations

import pytest
import torch

from pkv_interp.cache import FrozenCache, Runner
from pkv_interp.cache.picture_runner import with_pictures
from pkv_interp.cache.pictures import look
from pkv_interp.errors import PkvError
from pkv_interp.models.tiny import tiny_model
from tests.cache.picture_models import IMAGE, MODELS, close, model_of, own, pictures_of, shown, words

pytestmark = pytest.mark.parametrize("name", MODELS)


def _prompt(name: str) -> list[int]:
    return [*words(5), *shown(name, 0), *words(4, 1), *shown(name, 1), *words(6, 2)]


def _runner(name: str) -> Runner:
    return with_pictures(Runner.of(model_of(name)), pictures_of(name))


def test_a_prefill_is_the_models_own(name: str) -> None:
    ids = _prompt(name)
    made, (cache, logits) = _runner(name).prefill(ids), own(name, ids)
    close(made.cache, cache)
    torch.testing.assert_close(made.logits, logits, atol=2e-4, rtol=0)
    if name == "smolvlm":
        assert made.cache.end == len(ids)
    else:  # 2 x 3 and 4 x 2 tokens take 3 and 4 positions
        assert made.cache.end == len(ids) - (6 - 3) - (8 - 4)


def test_text_and_pictures_after_a_cache(name: str) -> None:
    runner, ids = _runner(name), _prompt(name)
    whole = runner.prefill(ids)
    for cut in (3, 5 + len(shown(name, 0)) + 2, len(ids) - 2):
        before = whole.cache.slice(0, cut)
        kept = [key.clone() for key in before.keys]
        made = runner.extend(before, ids[cut:])
        close(made.cache, whole.cache)
        torch.testing.assert_close(made.logits, whole.logits, atol=2e-4, rtol=0)
        assert made.cache.end == whole.cache.end
        assert all(torch.equal(a, b) for a, b in zip(before.keys, kept, strict=True))


def test_everything_run_again_is_a_prefill(name: str) -> None:
    runner, ids = _runner(name), _prompt(name)
    other = [*ids[:2], 333, *ids[3:]]
    cache = runner.prefill(ids).cache
    kept = [key.clone() for key in cache.keys]
    # The pictures' own vectors are in the cache: a runner that was given none can run them again.
    plain = Runner.of(model_of(name))
    made = plain.recompute(cache, range(2, len(ids)), other[2:])
    close(made.cache, runner.prefill(other).cache)
    assert all(torch.equal(a, b) for a, b in zip(cache.keys, kept, strict=True))


def test_one_token_run_again_leaves_the_others(name: str) -> None:
    runner, ids = _runner(name), _prompt(name)
    cache = runner.prefill(ids).cache
    at = len(ids) - 3
    made = runner.recompute(cache, [at], [ids[at]])
    close(made.cache, cache)
    changed = runner.recompute(cache, [at], [377]).cache
    full = runner.prefill([*ids[:at], 377, *ids[at + 1 :]]).cache
    close(changed.slice(at, at + 1), full.slice(at, at + 1))
    close(changed.slice(0, at), cache.slice(0, at), atol=0)


def test_positions_are_those_of_the_text_after_pictures(name: str) -> None:
    """A cache whose places were dropped gives other logits after M-RoPE pictures, so the test can fail."""
    runner, ids = _runner(name), _prompt(name)
    whole = runner.prefill(ids)
    cut = len(ids) - 3
    bare = whole.cache.slice(0, cut)
    lost = Runner.of(model_of(name)).extend(FrozenCache(bare.keys, bare.values), ids[cut:])
    differs = float((lost.logits - whole.logits).abs().max())
    assert differs < 2e-4 if name == "smolvlm" else differs > 1e-2


def test_what_does_not_fit_is_refused(name: str) -> None:
    runner, ids = _runner(name), _prompt(name)
    with pytest.raises(PkvError, match="more picture tokens than the 0 pictures"):
        Runner.of(model_of(name)).prefill(ids)
    with pytest.raises(PkvError, match="more picture tokens"):
        runner.prefill([*ids, *shown(name, 0)])
    cache = runner.prefill(ids).cache
    with pytest.raises(PkvError, match="in the place of text"):
        runner.recompute(cache, [1], [IMAGE])
    with pytest.raises(PkvError, match="in the place of text"):
        runner.recompute(cache, [7], [300])
    if name != "smolvlm":
        with pytest.raises(PkvError, match="cut in two"):
            runner.prefill([*words(3), *[IMAGE] * 2, *words(2)])
        swapped = with_pictures(Runner.of(model_of(name)), pictures_of(name)[::-1])
        with pytest.raises(PkvError, match="other pictures"):
            swapped.extend(cache.slice(0, 14), [IMAGE] * 6)
    with pytest.raises(PkvError, match="vision tower"):
        look(model_of(name), pixel_values=torch.zeros(2))
    with pytest.raises(PkvError, match="takes no pictures"):
        with_pictures(Runner.of(tiny_model("llama")[0]), pictures_of(name))
