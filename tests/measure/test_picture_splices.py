"""Prompts with pictures in three parts, and the arms that are made of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from pkv_interp.errors import PkvError
from pkv_interp.measure.picture_answers import answer, option_tokens, read_answer
from pkv_interp.measure.picture_edits import MOVED, MOVED_FULL, MOVED_STALE, edit_field
from pkv_interp.measure.picture_splices import Bench, own_forward_error, pads, parts_of
from pkv_interp.measure.picture_times import first_token
from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.models.load_vision import LoadedVision, load_vision
from pkv_interp.models.picture_model import picture_config
from pkv_interp.models.random_vision import random_vision, vision_3b
from pkv_interp.pictures.drawing import grey, picture
from pkv_interp.pictures.items import field_items, items
from pkv_interp.pictures.words import IMAGE


@pytest.fixture(scope="module")
def loaded() -> LoadedVision:
    return load_vision(load_catalogue_entry("vision-untrained"))


@pytest.fixture(scope="module", params=[1, 2])
def bench(loaded: LoadedVision, request: pytest.FixtureRequest) -> Bench:
    (item,) = items(["colour_of"], 1, pictures=request.param)
    return Bench.of(loaded, item, 112)


def test_parts_make_up_the_prompt(loaded: LoadedVision, bench: Bench) -> None:
    parts = bench.parts(5)
    assert len(parts.head) == 6  # BOS and five words
    ids: Any = loaded.tokenizer(bench.item.after(5).text)["input_ids"]
    assert list(parts.ids) == ids
    images = [picture(scene) for scene in bench.item.scenes]
    own = answer(loaded, bench.item.after(5), images)
    assert read_answer(loaded.tokenizer, bench.full(parts), bench.item) == own


def test_a_chat_template_stands_around_the_parts(loaded: LoadedVision) -> None:
    (item,) = items(["shape"], 1)
    tokenizer: Any = loaded.tokenizer
    tokenizer.chat_template = "settings : {{ messages[0]['content'] }} . answer"
    try:
        bench = Bench.of(loaded, item, 112)
        parts = bench.parts(2)
        text = tokenizer.decode(list(parts.ids))
        assert text.split()[1] == ":"
        assert text.split()[-2:][0] == "."
        assert len(bench.parts(0).head) < len(parts.head)
    finally:
        tokenizer.chat_template = None


def test_every_picture_has_as_many_tokens_as_the_tower_makes(loaded: LoadedVision) -> None:
    (item,) = items(["colour"], 1, pictures=2)
    text = pads(item.body, (4, 36))
    assert text.count(IMAGE) == 40
    large = Bench.of(loaded, item, 168)
    assert large.counts == (36, 36)
    assert len(large.parts(0).body) == len(parts_of(loaded, item, (16, 16)).body) + 40


def test_identities_hold(loaded: LoadedVision, bench: Bench) -> None:
    parts = bench.parts(9)
    assert bench.own_place_error(parts) < 1e-4
    assert bench.masked_error(parts) < 1e-4
    assert own_forward_error(loaded, bench.item, 112) < 1e-4


def test_a_chunk_that_is_run_again_whole_is_a_full_prefill(bench: Bench) -> None:
    parts, full = bench.parts(7), bench.full(bench.parts(7))
    moved = bench.spliced(parts, bench.chunk(bench.parts(0).head))
    whole = bench.repaired(parts, moved, len(parts.body))
    assert bench.arm(parts, whole, full).kl < 1e-8
    assert bench.repaired(parts, moved, 0) is moved
    apart = bench.arm(parts, moved, full)
    left = bench.arm(parts, bench.unturned(parts, bench.chunk(bench.parts(0).head)), full)
    assert 1e-8 < apart.kl != left.kl


@pytest.mark.parametrize("place", ["before", "after"])
def test_edits_inside_and_outside_a_moved_chunk(loaded: LoadedVision, place: Any) -> None:
    item = field_items(1, place)[0]
    found = edit_field(loaded, item, ("stale", "field_only", "full_reprefill"), 112, 5)
    assert set(found.arms) == {"stale", "field_only", "full_reprefill", MOVED, MOVED_FULL, MOVED_STALE}
    margins = {name: arm.margin for name, arm in found.arms.items()}
    assert margins["stale"] != margins["field_only"] != margins["full_reprefill"]
    assert margins[MOVED_STALE] != margins[MOVED] != margins[MOVED_FULL]
    whole = replace(Bench.of(loaded, item.after, 112), item=item.after)
    logits = whole.full(whole.parts(0))
    new, old = option_tokens(loaded.tokenizer, (item.after.answer, item.before.answer))
    assert margins["full_reprefill"] == pytest.approx(float(logits[new] - logits[old]), abs=1e-4)


def test_times_are_those_of_the_same_picture(loaded: LoadedVision) -> None:
    (item,) = items(["colour"], 1)
    found = first_token(loaded, item, 168, 4)
    assert (found.pixels, found.tokens) == (168, 36)
    assert 0 < found.tower < found.full
    assert found.reuse > 0


def test_a_random_model_of_a_shape_can_be_timed(loaded: LoadedVision) -> None:
    made = random_vision(loaded.config, picture_config(64, 2))
    assert made.info.n_parameters < loaded.info.n_parameters
    (item,) = items(["colour"], 1)
    assert first_token(made, item, 112, 2).tokens == 16


def test_the_published_shape_has_its_published_size() -> None:
    from transformers import Qwen2_5_VLForConditionalGeneration

    with torch.device("meta"):
        model = Qwen2_5_VLForConditionalGeneration(vision_3b())
    assert sum(p.numel() for p in model.parameters()) / 1e9 == pytest.approx(3.75, rel=2e-2)


def test_what_cannot_be_read_is_refused(loaded: LoadedVision) -> None:
    with pytest.raises(PkvError, match="not made of whole tokens"):
        loaded.seen([grey(100)])
    with pytest.raises(PkvError, match="begin with the same token"):
        option_tokens(loaded.tokenizer, ("red", "red"))
    with pytest.raises(PkvError, match="no vision tower"):
        load_vision(load_catalogue_entry("tiny-llama"))
