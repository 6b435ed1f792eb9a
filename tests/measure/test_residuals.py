"""Residual streams of quads are found again by quad, cell and layer."""

import numpy as np
import pytest

from pkv_interp.engine import Engine
from pkv_interp.errors import PkvError
from pkv_interp.measure.residuals import QuadResiduals, common_start, residuals_at, residuals_of_texts
from pkv_interp.tasks import BY_NAME, Style
from pkv_interp.tasks.quads import CONCLUSIONS, Quad, quad
from tests.families import tiny

LAYERS = (1, 3)


@pytest.fixture(scope="module")
def quads() -> list[Quad]:
    tokenizer, style = tiny("llama").tokenizer, Style(n_fillers=0)
    return [
        quad(BY_NAME[name], index, tokenizer, seed=0, style=style)
        for name in ("orders", "documents")
        for index in (0, 1)
    ]


def test_streams_are_those_of_the_positions_after_the_layers(engine: Engine, quads: list[Quad]) -> None:
    prefills = [engine.prefill(prompt.ids, {"prefill"}) for prompt in quads[0].prompts[:2]]
    found = residuals_at(prefills, (4, 2), LAYERS)
    assert found.shape == (2, 2, 2, engine.spec.d_model)
    for prefill, streams in zip(prefills, found, strict=True):
        whole = prefill.need("resid_all")
        for i, layer in enumerate(LAYERS):
            assert streams[i].tolist() == whole[layer, [4, 2]].tolist()


def test_texts_give_every_token_but_those_that_all_begin_with(engine: Engine) -> None:
    texts = [[301, 302, 303, 304], [301, 302, 305], [301, 302]]
    assert common_start(texts) == 2
    found = residuals_of_texts(engine, texts, 1)
    wholes = [engine.prefill(text, {"prefill"}).need("resid_all")[1] for text in texts[:2]]
    assert found.tolist() == [wholes[0][2].tolist(), wholes[0][3].tolist(), wholes[1][2].tolist()]
    assert len(residuals_of_texts(engine, texts[:1], 1)) == 3  # of one text alone the first is left out
    with pytest.raises(PkvError, match="no token that is not in all"):
        residuals_of_texts(engine, [[301, 302], [301, 302]], 1)


def test_prompts_and_cells_of_chosen_quads(quads: list[Quad]) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 4, 2, 3, 5))
    known = QuadResiduals(values, LAYERS, quads)
    assert known.of_split("discovery") == [True, True, False, False]
    assert known.without("orders") == [False, False, True, True]
    assert known.cell(quads[2], 3, 1).tolist() == values[2, 1, 1].tolist()
    some = known.at_places(slice(1, None))
    assert some.cell(quads[2], 3, 1).tolist() == values[2, 1, 1, 1:].tolist()
    kept = known.after(3, known.without("orders"))
    assert kept.values.tolist() == [values[q, c, 1].tolist() for q in (2, 3) for c in range(4)]
    assert kept.first.tolist() == list(CONCLUSIONS) * 2
    assert kept.families == ["documents"] * 8
