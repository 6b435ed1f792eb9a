"""Exported caches in llama.cpp's own server: what it says with them, and what it never serves."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from pkv_interp.cache import Runner, reposition
from pkv_interp.composing import join
from pkv_interp.models.tiny import tiny_model
from pkv_interp.serving import LlamaSlots, export
from pkv_interp.serving.exporting import PROBE
from pkv_interp.serving.llama import Request
from pkv_interp.serving.slots import paired, read_slot, write_slot
from pkv_interp.serving.stored import read
from tests.documents import blocks, text_of
from tests.families import ids_of, tiny
from tests.models.saved import save_gguf
from tests.serving.llama_engine import SAYS_ALL, Engine, difference, running
from tests.serving.made import KINDS, Made, context_of, made
from tests.serving.wide import wide

#: Of log-probabilities, in float32.
ALLOWED = 1e-4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("llama")


@pytest.fixture(scope="module")
def weights(folder: Path) -> Path:
    loaded = tiny("llama")
    save_gguf(folder / "model.gguf", loaded.model, loaded.tokenizer)
    return folder / "model.gguf"


@pytest.fixture(scope="module")
def engine(folder: Path, weights: Path) -> Iterator[Engine]:
    with running(weights, folder / "slots") as engine:
        yield engine


@pytest.fixture
def slots(engine: Engine, tmp_path: Path) -> Iterator[LlamaSlots]:
    for slot in range(3):
        engine.post(f"/slots/{slot}?action=erase", {})
    slots = LlamaSlots(engine.url, engine.slots, tmp_path)
    yield slots
    slots.close()


def made_here(kind: str, padding: int = 0) -> Made:
    loaded = tiny("llama")
    return made(kind, loaded.model, loaded.tokenizer, padding)


def asked(one: Made, path: Path | str, salt: str = "tenant 1", **other: Any) -> Request:
    name = path.stem if isinstance(path, Path) else path
    return Request(**{"prompt": one.prompt, "cache": name, "salt": salt, "options": dict(SAYS_ALL)} | other)


@pytest.mark.parametrize(
    ("kind", "padding"), [*((kind, i) for i, kind in enumerate(KINDS)), ("field_only", 60)]
)
def test_the_engine_says_what_we_say(slots: LlamaSlots, tmp_path: Path, kind: str, padding: int) -> None:
    one = made_here(kind, padding)
    answer = slots.complete(asked(one, export(one.given, tmp_path, **one.named)))
    assert answer.served
    assert difference(answer.told, one.logits) < ALLOWED
    plain = slots.complete(Request(one.prompt, options=dict(SAYS_ALL)))
    assert not plain.served
    model = tiny("llama").model
    fresh = Runner.of(model).prefill(one.prompt).logits
    assert difference(plain.told, fresh) < ALLOWED
    if kind not in ("prefilled", "erratum"):  # these two are what a full prefill gives
        assert difference(answer.told, fresh) > 100 * ALLOWED
    assert slots.counts == {"served": 1}
    assert list(slots.slots.iterdir()) == []


def test_keys_that_are_not_paired_are_put_in_as_they_are(tmp_path: Path) -> None:
    loaded = tiny("qwen3")
    save_gguf(tmp_path / "model.gguf", loaded.model, loaded.tokenizer)
    one = made("field_only", loaded.model, loaded.tokenizer)
    path = export(one.given, tmp_path)
    with running(tmp_path / "model.gguf", tmp_path / "slots") as engine:
        answer = LlamaSlots(engine.url, engine.slots, tmp_path).complete(asked(one, path))
    assert answer.served
    assert difference(answer.told, one.logits) < ALLOWED


@pytest.mark.parametrize(
    ("kind", "precision", "reason"),
    [("F16", "float16", ""), ("F16", "float32", "other weights"), ("Q8_0", "float16", "slot file")],
)
def test_a_cache_that_rounds(tmp_path: Path, kind: str, precision: str, reason: str) -> None:
    """In f16 it is served where the caller allows what that rounds away; packed columns are not written."""
    model, tokenizer = wide("llama", tmp_path)  # packed columns come in blocks of 32
    save_gguf(tmp_path / "model.gguf", model, tokenizer)
    one = made("field_only", model, tokenizer, 4)
    path = export(one.given, tmp_path)
    with running(tmp_path / "model.gguf", tmp_path / "slots", kind=kind) as engine:
        slots = LlamaSlots(engine.url, engine.slots, tmp_path, precision=precision)
        answer = slots.complete(asked(one, path))
    assert (answer.served, answer.reason) == (not reason, reason)
    if answer.served:
        assert ALLOWED < difference(answer.told, one.logits) < 200 * ALLOWED


def test_two_caches_of_one_text_at_once(slots: LlamaSlots, tmp_path: Path) -> None:
    both = [made_here("stale", 3), made_here("field_only", 3)]
    assert both[0].ids == both[1].ids
    paths = [export(one.given, tmp_path, **one.named) for one in both]
    assert paths[0] != paths[1]
    # Each in a slot of its own and then both in one, under one salt, asked at the same time.
    for places in ((0, 1), (2, 2)):
        requests = [
            asked(*one, slot=slot) for one, slot in zip(zip(both, paths, strict=True), places, strict=True)
        ]
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(slots.complete, requests * 2))
        for answer, one in zip(answers, both * 2, strict=True):
            assert answer.served
            assert difference(answer.told, one.logits) < ALLOWED


def test_a_later_plain_request_is_not_served_from_it(
    slots: LlamaSlots, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = made_here("stale", 5)
    path = export(one.given, tmp_path, **one.named)
    fresh = Runner.of(tiny("llama").model).prefill(one.prompt).logits
    post = slots._post
    # Without the erasure after each answer: the salt alone has to hold.
    monkeypatch.setattr(slots, "_post", lambda at, body: {} if "erase" in at else post(at, body))
    assert slots.complete(asked(one, path)).served
    for slot in range(3):
        told = engine.ask(one.prompt, id_slot=slot)
        # The server may still hold the probe, whose columns it computed itself.
        assert told["timings"]["cache_n"] <= PROBE
        assert difference(told, fresh) < ALLOWED
    # What the salt is for: under their true ids, the same columns go to whoever sends the same text.
    monkeypatch.setattr("pkv_interp.serving.llama.salted_ids", lambda cache, _: cache.ids)
    assert slots.complete(asked(one, path)).served
    told = engine.ask(one.prompt, id_slot=0)
    assert told["timings"]["cache_n"] >= len(one.ids)
    assert difference(told, fresh) > 100 * ALLOWED
    assert difference(told, one.logits) < ALLOWED


def test_what_cannot_be_served_is_computed_in_full_and_counted(
    slots: LlamaSlots, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = made_here("stale", 2)
    path = export(one.given, tmp_path, **one.named)
    runner = Runner.of(tiny("llama").model)
    other = [*one.prompt[:3], one.prompt[3] + 1, *one.prompt[4:]]
    cut = tmp_path / f"{'0' * 64}.safetensors"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    cases = {
        "no salt": asked(one, path, salt=""),
        "other ids": asked(one, path, prompt=other),
        "missing": asked(one, "f" * 64),
        "no name": asked(one, "../../etc/passwd"),
        "damaged": asked(one, cut),
        "options": asked(one, path, options={**SAYS_ALL, "lora": []}),
        "penalties": asked(one, path, options={**SAYS_ALL, "repeat_penalty": 1.3}),
    }
    for reason, request in cases.items():
        answer = slots.complete(request)
        assert (answer.served, answer.reason) == (False, reason)
        fresh = runner.prefill(request.prompt).logits
        assert reason == "penalties" or difference(answer.told, fresh) < ALLOWED
    assert slots.counts == dict.fromkeys(cases, 1)
    assert caplog.text.count("computed in full") == len(cases)
    assert not slots.complete(asked(one, path, prompt=one.ids)).served


def test_a_file_cut_in_half_or_changed_is_refused(slots: LlamaSlots, tmp_path: Path) -> None:
    one = made_here("field_only")
    path = export(one.given, tmp_path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-3] ^= 4
    for broken in (whole[: len(whole) // 2], bytes(flipped), b""):
        path.write_bytes(broken)
        assert slots.complete(asked(one, path)).reason == "damaged"
    path.write_bytes(whole)
    assert slots.complete(asked(one, path)).served


def test_other_weights_are_refused(slots: LlamaSlots, tmp_path: Path) -> None:
    model, tokenizer = tiny_model("llama")
    with torch.no_grad():  # one number of one layer, the last
        model.get_parameter("model.layers.2.self_attn.v_proj.weight")[0, 0] += 0.3
    one = made("field_only", model, tokenizer)
    answer = slots.complete(asked(one, export(one.given, tmp_path)))
    assert (answer.served, answer.reason) == (False, "other weights")
    assert difference(answer.told, Runner.of(tiny("llama").model).prefill(one.prompt).logits) < ALLOWED


def test_sliding_windows_are_refused(slots: LlamaSlots, tmp_path: Path) -> None:
    loaded = tiny("mistral")
    one = made("field_only", loaded.model, loaded.tokenizer)
    assert slots.complete(asked(one, export(one.given, tmp_path))).reason == "slot file"


def test_it_is_served_after_a_restart_and_when_the_slot_was_taken(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = made_here("recompute@32", 8)
    path = export(one.given, tmp_path)
    for _ in range(2):
        with running(weights, tmp_path / "slots", ram=0) as engine:
            slots = LlamaSlots(engine.url, engine.slots, tmp_path)
            assert difference(slots.complete(asked(one, path)).told, one.logits) < ALLOWED
            put = slots._put

            def taken(*given: Any, engine: Engine = engine, put: Any = put) -> None:
                put(*given)
                engine.ask(range(300, 320), id_slot=0)

            monkeypatch.setattr(slots, "_put", taken)  # between the columns and the request
            answer = slots.complete(asked(one, path))
            assert (answer.served, answer.reason) == (False, "taken")
            fresh = Runner.of(tiny("llama").model).prefill(one.prompt).logits
            assert difference(answer.told, fresh) < ALLOWED


def test_the_engine_turns_keys_as_we_do(weights: Path, tmp_path: Path) -> None:
    """Text is deleted: its ``--cache-reuse`` moves what stood after it, as ``reposition`` does."""
    loaded = tiny("llama")
    runner = Runner.of(loaded.model)
    before, dropped, kept, question = (ids_of(loaded, n, seed) for seed, n in enumerate((11, 37, 45, 5)))
    whole, start = runner.prefill([*before, *dropped, *kept]).cache, len(before) + len(dropped)
    tail = whole.slice(start, whole.length)
    moved = reposition(loaded.model, tail, -len(dropped), start=start)
    turned, unturned = (
        runner.extend(join([whole.slice(0, len(before)), part]), question).logits for part in (moved, tail)
    )
    with running(weights, tmp_path / "slots", reuse=8) as engine:
        engine.ask([*before, *dropped, *kept], id_slot=0)
        told = engine.ask([*before, *kept, *question], id_slot=0)
    assert told["timings"]["cache_n"] == len(before) + len(kept)
    assert difference(told, turned) < ALLOWED
    assert difference(told, unturned) > 100 * ALLOWED


def test_a_slot_file_is_written_as_the_engine_writes_it(engine: Engine, tmp_path: Path) -> None:
    one = made_here("prefilled")
    cache = read(export(one.given, tmp_path))
    engine.ask(one.ids, id_slot=1, n_predict=0, cache_prompt=False)
    engine.post("/slots/1?action=save", {"filename": "saved.bin"})
    content = (engine.slots / "saved.bin").read_bytes()
    (engine.slots / "saved.bin").unlink()
    like = read_slot(content, 3, 2, 16)
    assert like.ids == one.ids
    assert write_slot(like, like.ids, like.keys, like.values) == content
    assert torch.allclose(torch.tensor(like.keys), torch.tensor(paired(cache.keys.numpy())), atol=1e-4)
    for broken in (content[:-4], content + b"\0" * 4, content[:40], content.replace(b"qsgg", b"qsgh")):
        with pytest.raises(Exception, match="of a form that is not known here"):
            read_slot(broken, 3, 2, 16)


def test_the_lines_of_the_docs(
    engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    loaded = tiny("llama")
    given = {
        "context": context_of(loaded.model, loaded.tokenizer, 8),
        "question": [300, 301],
        "url": engine.url,
    }
    text = text_of("docs/serving.md")
    code = [block.code for block in blocks(text, "docs/serving.md") if block.language == "py"]
    exec(compile("\n".join(code), "docs/serving.md", "exec"), given)  # noqa: S102
    assert capsys.readouterr().out.startswith("True  ")
    assert given["slots"].counts == {"served": 1}  # pyright: ignore[reportAttributeAccessIssue]
