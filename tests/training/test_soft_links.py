"""Training of the embedding of the link token alone: what changes, and that the adapter loads as trained."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from pkv_interp.models.adapter import merge_adapter
from pkv_interp.prompts.links import LINK
from pkv_interp.prompts.special import following
from pkv_interp.training.courses import Programmable
from pkv_interp.training.layout_course import programmable_course
from pkv_interp.training.layout_losses import LayoutLosses, kinds_of
from pkv_interp.training.schedule import Stage
from pkv_interp.training.trainer import TrainSettings, add_lora, train, write_adapter
from tests.families import ids_of, tiny

STAGES = (Stage(steps=4, lessons="rules", lr=(5e-2, 5e-2), batch=4, mix={"plain": 1.0}),)
SETTINGS = TrainSettings(stages=STAGES, rank=4, alpha=4, warmup=1, snapshot_every=4, base="a", bfloat16=False)
COURSE = Programmable(isolated=1.0, blind=0.0, links=2, trained="link_tokens")


@pytest.fixture(scope="module", params=["llama", "gemma3"])
def trained(
    request: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, PeftModel, tuple[int, ...], Any]:
    """Of a model with two embeddings and of one whose unembedding is the embedding."""
    loaded = tiny(request.param)
    soft = tuple(dict.fromkeys(following(LINK, loaded.tokenizer)))
    model = add_lora(copy.deepcopy(loaded.model), SETTINGS, soft)
    course = programmable_course(
        COURSE, STAGES, 0, 4, loaded.tokenizer, LayoutLosses(kinds_of(loaded.model), "answers")
    )
    history = train(model, loaded.tokenizer, [], SETTINGS, tmp_path_factory.mktemp("soft"), course=course)
    return request.param, model, soft, history


def logits(model: Any, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0, -1]


def test_the_embeddings_of_links_are_all_that_is_trained(trained: Any) -> None:
    family, model, soft, history = trained
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert names
    assert all("trainable_tokens" in name for name in names)
    width = tiny(family).spec.d_model
    assert sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad) == (
        len(soft) * width
    )
    assert len(history) == 4
    before = tiny(family).model.get_input_embeddings()(torch.tensor(list(soft)))
    after = model.get_base_model().get_input_embeddings()(torch.tensor(list(soft)))
    assert float((after - before).detach().abs().max()) > 1e-3
    free = [at for at in ids_of(tiny(family), 12, 3) if at not in soft]
    mine, theirs = logits(model, free), logits(tiny(family).model, free)
    others = [at for at in range(len(theirs)) if at not in soft]
    torch.testing.assert_close(mine[others], theirs[others], atol=1e-4, rtol=1e-4)


def test_it_loads_as_it_was_trained(trained: Any, tmp_path: Path) -> None:
    family, model, soft, _ = trained
    write_adapter(model, SETTINGS, tmp_path)
    merged, _ = merge_adapter(copy.deepcopy(tiny(family).model), tmp_path)
    ids = [*ids_of(tiny(family), 8, 3), *soft, *ids_of(tiny(family), 4, 5)]
    assert float((logits(merged, ids) - logits(tiny(family).model, ids)).abs().max()) > 1e-4
    torch.testing.assert_close(logits(merged, ids), logits(model, ids), atol=2e-3, rtol=1e-3)


def test_link_tokens_need_links() -> None:
    with pytest.raises(ValueError, match="links are none"):
        Programmable(links="rule", trained="link_tokens")


def test_checkpoints_of_before_there_were_soft_links_go_on() -> None:
    assert "trained" not in Programmable(links=2).facts
    assert COURSE.facts["trained"] == "link_tokens"
