"""Edits of the default model's cache: exact where they must be, and what the notes hold on to."""

from __future__ import annotations

import pytest
import torch

from pkv_interp.editing import EditableContext
from pkv_interp.models.load import LoadedModel
from pkv_interp.tasks import FAMILIES, Style
from pkv_interp.tasks.edits import edit_task
from tests.editing.support import columns, logit_difference


@pytest.mark.slow
def test_on_the_default_model_the_exact_methods_agree_and_the_field_alone_does_not_move_it(
    real_model: LoadedModel,
) -> None:
    task = edit_task(FAMILIES[0], 0, real_model.tokenizer, seed=0, matches=True, style=Style(n_fillers=4))
    context = EditableContext(real_model.model, real_model.tokenizer, task.messages, task.question)
    base, options = context.prefill(), (task.new_action, task.old_action)
    full = base.edit(task.field, task.new, "full_reprefill")
    for method in ("suffix_recompute", "recompute@all", "oracle_patch@all", "cacheblend@1.0"):
        assert logit_difference(base.edit(task.field, task.new, method), full) < 1e-3, method
    stale, fresh = base.decide(options), full.decide(options)
    assert (stale.choice, fresh.choice) == (task.old_action, task.new_action)
    alone = base.edit(task.field, task.new, "field_only").decide(options)
    assert alone.choice == stale.choice
    assert abs(alone.margin - stale.margin) < 0.1 * (fresh.margin - stale.margin)
    noted = base.edit(task.field, task.new, "erratum")
    before = range(len(base.ids))
    assert torch.equal(columns(noted.cache, before), columns(base.cache, before))
    plain = context.runner.prefill(noted.ids).cache
    end = range(len(base.ids), len(noted.ids))
    assert (columns(noted.cache, end) - columns(plain, end)).abs().max() < 1e-3
