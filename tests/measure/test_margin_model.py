"""The closed form of an edited cache's outputs against the model's own; both predictions at their ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from einops import repeat

from pkv_interp.cache import FrozenCache
from pkv_interp.engine import Engine
from pkv_interp.errors import PkvError
from pkv_interp.interventions import HeadPatch, Row
from pkv_interp.measure.margin_model import CAPTURE, MarginModel, outputs_over
from pkv_interp.measure.pairs import PairRun, margins, run_pair
from pkv_interp.tasks import BY_NAME, Style, field_case
from tests.families import FAMILIES, tiny


def run(family: str) -> tuple[Engine, PairRun]:
    engine = Engine(tiny(family))
    case = field_case(BY_NAME["orders"], 0, engine.loaded.tokenizer, seed=0, style=Style(n_fillers=0))
    return engine, run_pair(engine, case, CAPTURE)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_layer_puts_out_what_is_told_of_an_edited_cache(family: str) -> None:
    """No head is before the first layer, so its query does not change and the closed form is exact there."""
    engine, pair = run(family)
    # Another text of the same length: in the first layer a column depends on its own token alone.
    ids = pair.corrupt.ids
    other = engine.prefill((*ids[7:-1], *ids[:7], ids[-1]), CAPTURE)
    put_in = (*pair.changed, *pair.notes[::3])
    columns: dict[str, list[Any]] = {"keys": [], "values": []}
    for part, found in columns.items():
        for own, theirs in zip(getattr(pair.corrupt.cache, part), getattr(other.cache, part), strict=True):
            mixed = own.clone()
            mixed[:, :, list(put_in)] = theirs[:, :, list(put_in)]
            found.append(mixed)
    cache = FrozenCache(tuple(columns["keys"]), tuple(columns["values"]), pair.corrupt.cache.regime)
    opened = engine.open(pair.corrupt.ids, cache)
    told = outputs_over(engine.spec, pair.corrupt, other, put_in)
    assert torch.allclose(told[0], opened.z[0].float(), atol=1e-4)
    assert not torch.allclose(told[0], pair.corrupt.z[0].float(), atol=1e-5)
    plain = outputs_over(engine.spec, pair.corrupt, pair.clean)
    assert torch.allclose(plain, pair.corrupt.z.float(), atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_hidden_is_taken_out_of_the_mean(family: str) -> None:
    """The output is the mean of what is seen and of what is hidden, by their attention."""
    engine, pair = run(family)
    hidden = list(pair.notes[1::2])
    base, group = pair.corrupt, engine.spec.n_heads // engine.spec.n_kv_heads
    told = outputs_over(engine.spec, base, pair.clean, (), hidden)
    weights = base.need("attn")[:, :, hidden]
    values = torch.stack(
        [repeat(v[0][:, hidden], "kv t d -> (kv g) t d", g=group) for v in base.cache.values]
    )
    rest = base.z - torch.einsum("lht,lhtd->lhd", weights, values)
    assert torch.allclose(told, (rest / (1.0 - weights.sum(-1))[..., None]).float(), atol=1e-4)


def test_both_predictions_meet_the_plain_prompts(engine: Engine) -> None:
    case = field_case(BY_NAME["orders"], 0, engine.loaded.tokenizer, seed=0, style=Style(n_fillers=1))
    pair = run_pair(engine, case, CAPTURE)
    model = MarginModel.of(engine, pair)
    every = pair.changed + pair.notes
    for told in (model.margin, model.toy_margin):
        assert told(()) == pytest.approx(pair.corrupt_margin, abs=1e-4)
        assert told(every) == pytest.approx(pair.clean_margin, abs=1e-4)
    assert model.margin(pair.notes) != pytest.approx(model.margin(pair.changed), abs=1e-4)


def test_slopes_are_those_of_the_margin(engine: Engine) -> None:
    """Against differences of margins: one head's output at a time is moved a little along its slope."""
    case = field_case(BY_NAME["orders"], 0, engine.loaded.tokenizer, seed=0, style=Style(n_fillers=0))
    pair = run_pair(engine, case, CAPTURE)
    base, step = pair.corrupt, 0.02
    slopes = engine.attribute(base, pair.clean, case.action_ids).head_slopes
    way = slopes / slopes.norm(dim=-1, keepdim=True)
    sides = [replace(base, z=base.z + sign * step * way) for sign in (1.0, -1.0)]
    heads = [(layer, head) for layer in range(engine.spec.n_layers) for head in range(engine.spec.n_heads)]
    rows: list[Row] = [(HeadPatch(layer, head, donor),) for layer, head in heads for donor in (0, 1)]
    found = margins(engine.decode(base, rows, sides, case.action_ids)).reshape(-1, 2)
    measured = (found[:, 0] - found[:, 1]) / (2.0 * step)
    told = [float(slopes[head].norm()) for head in heads]
    assert list(measured) == pytest.approx(told, rel=0.02, abs=1e-3)


def test_what_was_not_captured_or_does_not_move_is_refused(engine: Engine) -> None:
    case = field_case(BY_NAME["orders"], 0, engine.loaded.tokenizer, seed=0, style=Style(n_fillers=0))
    bare = run_pair(engine, case, set())
    with pytest.raises(PkvError, match="was not captured"):
        MarginModel.of(engine, bare)
    pair = run_pair(engine, case, CAPTURE)
    with pytest.raises(PkvError, match="no column of"):
        MarginModel.of(engine, replace(pair, clean=pair.corrupt))
