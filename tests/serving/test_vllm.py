"""Exported caches in vLLM's server: what it says with them, and what it never serves.

``make serving-vllm`` makes the environment and runs these. They are left out elsewhere: to start takes a
minute on an idle machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from pkv_interp.cache import FrozenCache, Runner
from pkv_interp.serving import export
from tests.serving.made import KINDS, Made, made
from tests.serving.vllm_engine import BLOCK, ENVIRONMENT, Engine, cached, difference, running, written
from tests.serving.wide import wide

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(
        "PKV_VLLM" not in os.environ or not (ENVIRONMENT / ".ready").exists(),
        reason="vLLM takes minutes: make serving-vllm",
    ),
]
#: Of log-probabilities, in float32.
ALLOWED = 1e-4
#: Of requests that write more than a token.
LONG = {"max_tokens": 100, "ignore_eos": True, "logprobs": 1}


#: Our connector, which loses what it was to put into place while there is a file ``lost``.
LOSING = """
from pathlib import Path

from pkv_interp.serving.vllm_connector import PkvConnector


class Losing(PkvConnector):
    def _put(self, load, layers):
        if (Path(__file__).parent / "lost").exists():
            raise RuntimeError("lost")
        super()._put(load, layers)
"""


class Case:
    """A model, the engine that serves it, and the folder of its caches."""

    def __init__(self, model: Any, tokenizer: Any, engine: Engine, folder: Path) -> None:
        self.model, self.tokenizer, self.engine, self.caches = model, tokenizer, engine, folder / "caches"

    def made(self, kind: str, padding: int) -> tuple[Made, Path]:
        one = made(kind, self.model, self.tokenizer, padding)
        return one, export(one.given, self.caches, **one.named)

    def fresh(self, ids: Any) -> Tensor:
        return Runner.of(self.model).prefill(ids).logits

    def greedy(self, one: Made, number: int) -> list[int]:
        """What the model writes after a cache and its question."""
        runner = Runner.of(self.model)
        cache = one.given if isinstance(one.given, FrozenCache) else one.given.cache
        made, out = runner.extend(cache, one.suffix), []
        for _ in range(number):
            out.append(int(made.logits.argmax()))
            made = runner.extend(made.cache, out[-1:])
        return out


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    folder = tmp_path_factory.mktemp("vllm")
    (folder / "caches").mkdir()
    model, tokenizer = wide("llama", folder / "model")
    (folder / "losing.py").write_text(LOSING)
    named = {"kv_connector": "Losing", "kv_connector_module_path": "losing"}
    model_folder, caches, log = (folder / name for name in ("model", "caches", "log"))
    with running(model_folder, caches, log, connector=named, modules=folder) as engine:
        yield Case(model, tokenizer, engine, folder)


@pytest.mark.parametrize(("kind", "padding"), [(kind, 4 * i) for i, kind in enumerate(KINDS)])
def test_the_engine_says_what_we_say(case: Case, kind: str, padding: int) -> None:
    one, path = case.made(kind, padding)
    before = case.engine.metric("vllm:external_prefix_cache_hits_total")
    told = case.engine.ask(one.prompt, path.stem, "tenant 1")
    assert cached(told) == len(one.ids)
    assert difference(told, one.logits) < ALLOWED
    assert case.engine.metric("vllm:external_prefix_cache_hits_total") == before + len(one.ids)
    # Now the whole blocks come from the engine's own memory, and the rest from the file again.
    again = case.engine.ask(one.prompt, path.stem, "tenant 1")
    assert difference(again, one.logits) < ALLOWED
    # No plain request meets them, whatever salt it sends.
    for salt in (None, "tenant 1", path.stem):
        plain = case.engine.ask(one.prompt, salt=salt)
        assert difference(plain, case.fresh(one.prompt)) < ALLOWED
    if kind not in ("prefilled", "erratum"):  # these two are what a full prefill gives
        assert difference(told, case.fresh(one.prompt)) > 100 * ALLOWED


def test_lengths_around_a_block(case: Case) -> None:
    seen = set()
    for padding in range(14, 40):
        one = made("field_only", case.model, case.tokenizer, padding)
        if len(one.ids) % BLOCK in (BLOCK - 1, 0, 1) or padding == 39:
            told = case.engine.ask(one.prompt, export(one.given, case.caches).stem, "tenant 2")
            assert difference(told, one.logits) < ALLOWED
            seen.add(len(one.ids) % BLOCK)
    assert seen


def test_two_caches_of_one_text_at_once(case: Case) -> None:
    both = [case.made(kind, 30) for kind in ("stale", "field_only")]
    assert both[0][0].ids == both[1][0].ids
    with ThreadPoolExecutor(4) as pool:
        for _ in range(2):  # under one salt, and in one batch where the engine has it so
            told = pool.map(lambda one: case.engine.ask(one[0].prompt, one[1].stem, "one salt"), both * 2)
            for answer, (one, _) in zip(told, both * 2, strict=True):
                assert difference(answer, one.logits) < ALLOWED


def test_what_cannot_be_served_is_computed_in_full_and_told(case: Case) -> None:
    one, path = case.made("stale", 22)
    served = case.engine.ask(one.prompt, path.stem, "tenant 3")
    assert difference(served, one.logits) < ALLOWED
    other = [*one.ids[: 2 * BLOCK], *one.prompt[2 * BLOCK + 1 :]]
    cut = case.caches / f"{'0' * 64}.safetensors"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for told, ids, name, salt in (
        ("without a salt", one.prompt, path.stem, None),
        ("does not begin with", other, path.stem, "tenant 3"),
        ("ends with the cache", one.ids, path.stem, "tenant 3"),
        ("there is no cache", one.prompt, "f" * 64, "tenant 3"),
        ("is no name of a cache", one.prompt, "../../etc/passwd", "tenant 3"),
        (f"{cut.name} is damaged", one.prompt, cut.stem, "tenant 3"),
    ):
        answer = case.engine.ask(ids, name, salt)
        assert difference(answer, case.fresh(ids)) < ALLOWED, told
        assert told in case.engine.told()
    # The same request is served again: what was computed in full stands nowhere in its way.
    assert difference(case.engine.ask(one.prompt, path.stem, "tenant 3"), one.logits) < ALLOWED
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    answer = case.engine.ask(one.prompt, path.stem, "tenant 3")
    assert difference(answer, case.fresh(one.prompt)) < ALLOWED
    path.write_bytes(whole)
    assert difference(case.engine.ask(one.prompt, path.stem, "tenant 3"), one.logits) < ALLOWED


def test_other_weights_are_refused(case: Case, tmp_path: Path) -> None:
    other, tokenizer = wide("llama", tmp_path, seed=1)
    one = made("field_only", other, tokenizer, 10)
    told = case.engine.ask(one.prompt, export(one.given, case.caches).stem, "tenant 4")
    assert difference(told, case.fresh(one.prompt)) < ALLOWED
    assert "by other weights" in case.engine.told()


#: A connector that adds nothing to the salt.
LEAKING = """
from pkv_interp.serving import vllm_connector

vllm_connector.namespace = lambda cache, salt, secret: None


class Leaking(vllm_connector.PkvConnector):
    pass
"""


def test_what_is_lost_before_it_is_in_place_ends_in_an_error(case: Case) -> None:
    one, path = case.made("field_only", 46)
    lost = case.caches.parent / "lost"
    lost.touch()
    assert case.engine.ask(one.prompt, path.stem, "tenant 7")["status"] == 500
    assert difference(case.engine.ask(one.prompt), case.fresh(one.prompt)) < ALLOWED
    lost.unlink()
    assert difference(case.engine.ask(one.prompt, path.stem, "tenant 7"), one.logits) < ALLOWED


def test_after_a_restart_it_is_served_and_without_its_namespace_it_leaks(tmp_path: Path) -> None:
    """An engine over a cache that was there before it."""
    (tmp_path / "leaking.py").write_text(LEAKING)
    model, tokenizer = wide("llama", tmp_path / "model")
    one = made("stale", model, tokenizer, 12)
    fresh = Runner.of(model).prefill(one.prompt).logits
    path = export(one.given, tmp_path / "caches", **one.named)
    named = {"kv_connector": "Leaking", "kv_connector_module_path": "leaking"}
    model_folder, caches, log = (tmp_path / name for name in ("model", "caches", "log"))
    with running(model_folder, caches, log, connector=named, modules=tmp_path) as engine:
        assert difference(engine.ask(one.prompt, path.stem, "tenant 5"), one.logits) < ALLOWED
        later = engine.ask(one.prompt)
        assert cached(later) >= BLOCK
        assert difference(later, fresh) > 100 * ALLOWED


@pytest.mark.parametrize("family", ["gemma3", "mistral"])
def test_sliding_windows_are_served_and_requests_that_are_put_off_get_their_columns_again(
    family: str, tmp_path: Path
) -> None:
    (tmp_path / "caches").mkdir()
    model, tokenizer = wide(family, tmp_path / "model")
    little = ("--num-gpu-blocks-override", "12", "--max-model-len", "320")
    with running(tmp_path / "model", tmp_path / "caches", tmp_path / "log", *little) as engine:
        case = Case(model, tokenizer, engine, tmp_path)
        for padding in (3, 40):  # within the window of 64, and well past it
            one, path = case.made("field_only", padding)
            told = engine.ask(one.prompt, path.stem, "tenant 6")
            assert cached(told) == len(one.ids)
            assert difference(told, one.logits) < ALLOWED
            assert difference(engine.ask(one.prompt), case.fresh(one.prompt)) < ALLOWED
        # Three times 80 tokens and 100 that are written do not fit into twelve blocks.
        three = [case.made(kind, 13 + i) for i, kind in enumerate(("stale", "field_only", "recompute@32"))]
        with ThreadPoolExecutor(3) as pool:
            told = pool.map(lambda one: engine.ask(one[0].prompt, one[1].stem, "tenant 6", **LONG), three)
            for answer, (one, _) in zip(told, three, strict=True):
                assert written(answer) == case.greedy(one, 100)
        # Where every layer slides, the engine frees what no later token sees.
        assert (engine.metric("vllm:num_preemptions_total") > 0) == (family == "gemma3")
