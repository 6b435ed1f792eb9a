"""Training of the picture model: the same however often it is stopped; its tower comes first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pkv_interp.errors import PkvError
from pkv_interp.models.picture_model import new_picture_model
from pkv_interp.pictures.generators import GENERATORS, asked
from pkv_interp.pictures.questions import questions_of
from pkv_interp.pictures.scenes import Scene, Thing
from pkv_interp.pictures.words import IMAGE, ORDINALS, VOCABULARY
from pkv_interp.training import picture_steps
from pkv_interp.training.picture_cells import CellReader, cells, name_loss, order_loss
from pkv_interp.training.picture_examples import batch_of, examples
from pkv_interp.training.picture_schedule import PictureTraining
from pkv_interp.training.picture_trainer import train_pictures

SMALL = PictureTraining(
    tower_steps=1, simple_steps=1, steps=2, again_steps=(1,), tower_batch=2, batch=2, checkpoint_every=1
)


class Stop(Exception):
    """Ends a training after a step."""


def test_a_stopped_training_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = new_picture_model(0)
    history = train_pictures(whole, SMALL, tmp_path / "whole")

    def stop(step: int, values: object) -> None:
        del values
        if step in (1, 2):
            raise Stop

    for _ in range(2):
        with pytest.raises(Stop):
            train_pictures(new_picture_model(0), SMALL, tmp_path / "parts", stop)
    again = new_picture_model(0)
    assert train_pictures(again, SMALL, tmp_path / "parts") == history
    for name, weight in again.state_dict().items():
        assert torch.equal(weight, whole.state_dict()[name]), name
    assert not again.training
    with pytest.raises(PkvError, match="another schedule"):
        train_pictures(new_picture_model(0), PictureTraining(steps=3), tmp_path / "parts")


def test_the_tower_and_the_words_are_trained_first(tmp_path: Path) -> None:
    before, after = new_picture_model(0), new_picture_model(0)

    def stop(step: int, values: object) -> None:
        del step, values
        raise Stop

    with pytest.raises(Stop):
        train_pictures(after, SMALL, tmp_path, stop)
    moved = {
        "tower" if name.startswith("model.visual") else name
        for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True)
        if float((old - new).detach().abs().max()) > 2e-5
    }
    assert moved == {"tower", "model.language_model.embed_tokens.weight"}


def test_cells_are_told_in_reading_order() -> None:
    told = cells([Scene((Thing("circle", "green", 5, large=True),), 0), Scene((), 0)])
    assert told.shape == (32, 3)
    assert told[5].tolist() == [1, 2, 1]
    assert int(told.sum()) == 4


def test_a_batch_asks_what_its_examples_ask() -> None:
    drawn = examples(np.random.default_rng(0), 6)
    batch = batch_of(drawn)
    pictures = sum(len(one.scenes) for one in drawn)
    assert batch.images.sum() == 16 * pictures
    assert batch.pixels.shape == (64 * pictures, 3 * 2 * 14 * 14)
    assert bool((batch.ids[batch.images.bool()] == VOCABULARY.index(IMAGE)).all())
    for row, at, answer in zip(batch.rows, batch.targets, batch.answers, strict=True):
        assert VOCABULARY[int(batch.ids[row, at])] == "?"
        assert int(batch.ids[row, at + 1]) == int(answer)


def test_words_that_name_one_thing_know_its_cell() -> None:
    drawn = [one for seed in range(8) for one in examples(np.random.default_rng(seed), 6)]
    assert {len(one.scenes) for one in drawn} == {1, 2}
    batch = batch_of(drawn)
    assert len(batch.named) == sum(len(one.named) for one in drawn) > 40
    ordinals = [VOCABULARY.index(word) for word in ORDINALS]
    words = set()
    for row, at, cell in batch.named.tolist():
        said = batch.ids[row, : at + 1].tolist()
        word = VOCABULARY[said[-1]]
        words.add(word)
        scenes = drawn[row].scenes
        # Of two pictures it is the one whose ordinal the question has.
        last = [token for token in said if token in ordinals]
        scene = scenes[ordinals.index(last[-1])] if len(scenes) == 2 else scenes[0]
        (thing,) = [one for one in scene.things if one.cell == cell]
        match word:
            case "it":
                assert thing.large or len(scene.things) == 1
            case "largest":
                assert thing.large
            case _:
                assert word in (thing.shape, thing.colour)
    assert {"it", "largest"} < words


def test_a_question_says_once_what_it_names() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        for generator in GENERATORS:
            scene = asked(generator, rng, "train").scene
            for question in questions_of(scene):
                said = question.text.split()
                assert all(said.count(word) == 1 for word, _ in question.named)


def test_words_alone_are_asked_for_their_picture_in_the_rounds() -> None:
    rng = (np.random.default_rng(seed) for seed in range(30))
    batch = next(one for one in (batch_of(examples(each, 4)) for each in rng) if len(one.ordered))
    asked_of = {level: picture_steps.asked_of_pictures(batch, level) for level in ("all", "hard")}
    shown = {level: int(batch.images[told.T[0], told.T[1]].sum()) for level, told in asked_of.items()}
    assert shown == {"all": int(batch.images.sum()), "hard": 0}
    assert 0 < len(asked_of["hard"]) == len(asked_of["all"]) - shown["all"]


def test_names_and_pictures_are_asked_once_the_simple_questions_end() -> None:
    seen = {}
    for step in (SMALL.tower_steps, SMALL.tower_steps + SMALL.simple_steps):
        model, reader = new_picture_model(0), CellReader(128)
        picture_steps.answer_step(model, reader, np.random.default_rng(0), SMALL, step)
        grad = reader.named.weight.grad
        tower = next(model.model.visual.parameters()).grad
        seen[step] = (grad is not None and bool(grad.abs().sum() > 0), tower is not None)
    assert list(seen.values()) == [(False, True), (True, False)]


def test_a_word_is_read_where_it_points() -> None:
    reader = CellReader(8)
    with torch.no_grad():
        reader.named.weight.copy_(torch.eye(8))
        reader.named.bias.zero_()
    hidden = torch.zeros(2, 8)
    hidden[0, [1, 4 + 2]] = 20.0  # row 1, column 2
    hidden[1, [3, 4 + 0]] = 20.0
    loss, right = name_loss(reader, hidden, torch.tensor([6, 12]))
    assert float(loss.detach()) < 1e-6
    assert right == 1.0
    loss, right = name_loss(reader, hidden, torch.tensor([6, 13]))
    assert float(loss.detach()) > 9.0
    assert right == 0.5
    loss, right = name_loss(reader, hidden[:0], torch.tensor([], dtype=torch.long))
    assert (float(loss.detach()), right) == (0.0, 0.0)


def test_tokens_of_two_pictures_know_which_they_are_about() -> None:
    drawn = [one for seed in range(8) for one in examples(np.random.default_rng(seed), 3)]
    batch = batch_of(drawn)
    ordinals = [VOCABULARY.index(word) for word in ORDINALS]
    counts = {len(one.scenes): bool(one.ordered) for one in drawn}
    assert counts == {1: False, 2: True}
    for row, at, which in batch.ordered.tolist():
        # The last ordinal before a token is that of its picture, or of its question.
        said = [token for token in batch.ids[row, : at + 1].tolist() if token in ordinals]
        assert said[-1] == ordinals[which]
    for row, one in enumerate(drawn):
        if len(one.scenes) == 2:
            mine = {int(at) for r, at, _ in batch.ordered.tolist() if r == row}
            shown = batch.images[row].nonzero().flatten().tolist()
            assert mine == {*shown, *one.targets, *(at for at, _ in one.named)}


def test_a_token_is_about_the_picture_whose_ordinal_it_is_like() -> None:
    words = torch.zeros(len(VOCABULARY), 8)
    for at, word in enumerate(ORDINALS):
        words[VOCABULARY.index(word), at] = 1.0
    hidden = torch.eye(8)[[0, 1]] * 4.0
    loss, right = order_loss(CellReader(8), hidden, words, torch.tensor([0, 1]))
    assert float(loss.detach()) < 1e-6
    assert right == 1.0
    loss, right = order_loss(CellReader(8), hidden, words, torch.tensor([0, 0]))
    assert float(loss.detach()) > 9.0
    assert right == 0.5
    loss, right = order_loss(CellReader(8), hidden[:0], words, torch.tensor([], dtype=torch.long))
    assert (float(loss.detach()), right) == (0.0, 0.0)


def test_the_tower_rests_once_the_simple_questions_end(tmp_path: Path) -> None:
    towers: list[dict[str, torch.Tensor]] = []
    for steps in (1, 3):
        model = new_picture_model(0)
        train_pictures(model, replace(SMALL, steps=steps, again_steps=()), tmp_path / str(steps))
        towers.append({n: p.clone() for n, p in model.model.visual.named_parameters()})
        towers[-1]["words"] = picture_steps.word_vectors(model).clone()
    one, other = towers
    assert {name for name, weight in one.items() if not torch.equal(weight, other[name])} == {"words"}


def test_the_rate_rises_and_falls() -> None:
    training = PictureTraining(tower_steps=100, steps=1000, again_steps=(400, 300))
    rates = [training.rate(step) for step in range(training.total)]
    assert max(rates) <= training.lr
    assert rates[0] < rates[50] == training.lr
    assert rates[100] < rates[149]
    assert rates[1099] < 0.03 * training.lr
    for start, end in ((1100, 1500), (1500, 1800)):  # each of the rounds after it
        assert max(rates[start:end]) <= 0.5 * training.lr < 1.1 * rates[start + 49]
        assert rates[end - 1] < 0.03 * training.lr
    assert len(rates) == 1800


def test_a_finished_training_can_be_gone_on_with(tmp_path: Path) -> None:
    whole, parts = new_picture_model(0), new_picture_model(0)
    train_pictures(whole, SMALL, tmp_path / "whole")
    train_pictures(new_picture_model(0), replace(SMALL, again_steps=()), tmp_path / "parts")
    assert len(train_pictures(parts, SMALL, tmp_path / "parts")) == 4
    for one, other in zip(parts.parameters(), whole.parameters(), strict=True):
        assert torch.equal(one, other)
