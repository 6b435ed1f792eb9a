"""Pictures, questions and their splits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pkv_interp.errors import PkvError
from pkv_interp.pictures.drawing import CLIP, HALVES, PIXELS, digest, patches, picture, pixels
from pkv_interp.pictures.generators import GENERATORS, asked
from pkv_interp.pictures.items import field_items, items, names_of
from pkv_interp.pictures.prompts import filler, hoisted_mode, mode_erratum
from pkv_interp.pictures.questions import questions_of
from pkv_interp.pictures.scenes import Scene, Thing, draw_scene, placed_things, split_of
from pkv_interp.pictures.words import COLOURS, PAD, SHAPES, VOCABULARY, picture_tokenizer
from pkv_interp.training.picture_examples import encode, examples

SCENE = Scene(
    (Thing("circle", "red", 0), Thing("square", "blue", 6, large=True), Thing("ring", "red", 13)), look=3
)


def test_the_splits_share_nothing_and_make_up_the_whole() -> None:
    train, held_out = (set(placed_things(split)) for split in ("train", "held_out"))
    assert not train & held_out
    assert len(train) + len(held_out) == len(SHAPES) * len(COLOURS) * 16
    assert 0.15 < len(held_out) / (len(train) + len(held_out)) < 0.25


@pytest.mark.parametrize("kind", GENERATORS)
@pytest.mark.parametrize("split", ["train", "held_out"])
def test_every_thing_in_a_picture_is_of_its_split(kind: str, split: Any) -> None:
    for item in items([kind], 5, split=split):
        assert item.answer in item.options
        assert item.kind == kind
        for scene in item.scenes:
            assert len({thing.cell for thing in scene.things}) == len(scene.things)
            assert {split_of(t.shape, t.colour, t.cell) for t in scene.things} == {split}


def test_held_out_pictures_are_none_of_the_training() -> None:
    kinds = list(GENERATORS)
    assert not names_of(items(kinds, 10)) & names_of(items(kinds, 30, split="train"))
    assert names_of(items(kinds, 3)) == names_of(items(kinds, 3))
    assert names_of(items(kinds, 3)) != names_of(items(kinds, 3, seed=1))


def test_answers_are_those_that_one_sees() -> None:
    told = {question.text: question.answer for question in questions_of(SCENE)}
    assert told["how many things ?"] == "three"
    assert told["how many red things ?"] == "two"
    assert told["how many green things ?"] == "zero"
    assert told["what colour is the square ?"] == "blue"
    assert told["what shape is the blue one ?"] == "square"
    assert "what shape is the red one ?" not in told
    assert told["is the circle left or right of the square ?"] == "left"
    assert told["is the ring above or below the square ?"] == "below"
    assert told["what colour is the largest ?"] == "blue"
    assert "same colour ?" not in told


def test_answers_vary_in_every_generator() -> None:
    rng = np.random.default_rng(0)
    for kind in GENERATORS:
        answers = [asked(kind, rng, "held_out").question.answer for _ in range(40)]
        commonest = max(answers.count(one) for one in answers)
        assert commonest <= 28, kind


def test_a_scene_has_one_picture_with_each_thing_in_its_cell() -> None:
    assert digest(picture(SCENE)) == digest(picture(SCENE))
    assert digest(picture(SCENE)) != digest(picture(Scene(SCENE.things, look=4)))
    values = pixels(picture(SCENE)).astype(int)
    assert values.shape == (PIXELS, PIXELS, 3)
    cells = values.reshape(4, 28, 4, 28, 3)
    spread = cells.max((1, 3)) - cells.min((1, 3))
    assert sorted(np.flatnonzero(spread.max(-1) > 60)) == [0, 6, 13]
    assert pixels(picture(SCENE, 224)).shape == (224, 224, 3)


@pytest.mark.parametrize(("size", "scale"), [(14, CLIP), (16, HALVES)])
def test_patches_are_those_of_the_models_own_processor(size: int, scale: Any) -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    side = 4 * size
    image = picture(SCENE).resize((side, 2 * side))
    processor: Any = Qwen2VLImageProcessorPil(
        patch_size=size, image_mean=scale[0], image_std=scale[1], min_pixels=side, max_pixels=side**2 * 4
    )
    own = processor(images=[image], return_tensors="np")
    mine, grid = patches(image, size, 2, scale)
    assert grid == tuple(own["image_grid_thw"][0])
    np.testing.assert_allclose(mine, own["pixel_values"], atol=2e-6)


def test_every_word_is_one_token_of_its_own() -> None:
    tokenizer: Any = picture_tokenizer()
    unknown = VOCABULARY.index(PAD)
    for example in examples(np.random.default_rng(1), 40):
        text = " ".join(VOCABULARY[token] for token in example.ids)
        assert unknown not in example.ids
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == list(example.ids)
    for text in (mode_erratum("shape"), *hoisted_mode("shape")):
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == encode(text)
        assert unknown not in encode(text)


def test_fillers_are_as_long_as_asked() -> None:
    rng = np.random.default_rng(0)
    assert [len(filler(rng, n).split()) for n in (0, 1, 7, 64)] == [0, 1, 7, 64]


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_fields_value_decides_the_answer(place: Any) -> None:
    found = field_items(2, place)
    assert len(found) == 12
    for item in found:
        assert item.before.scenes == item.after.scenes
        assert item.before.text.replace(f"mode is {item.old}", f"mode is {item.new}") == item.after.text
        assert item.before.answer != item.after.answer
        at = item.after.text.index("mode is")
        assert (at < item.after.text.index("picture")) is (place == "before")


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(PkvError, match="no generator 'weather'"):
        items(["weather"], 1)
    with pytest.raises(PkvError, match="fit together"):
        draw_scene(np.random.default_rng(0), "train", 2, lambda _: False)
