"""Blind chunks: a splice is a prefill of the whole text in which each chunk's tokens see each other alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pkv_interp.cache import AttentionLayout
from pkv_interp.cache.compute import Runner
from pkv_interp.composing import ChunkLibrary, precompile, seam_repair, splice
from pkv_interp.errors import PkvError
from tests.cache.test_attention_layout import same
from tests.families import FAMILIES, ids_of, tiny

#: Longest part; windows are shorter, so that a sliding layer forgets some of it.
PARTS, WINDOW = (13, 20, 9, 6), 16


def parts_of(family: str) -> tuple[Runner, Any, list[list[int]]]:
    loaded = tiny(family, window=WINDOW)
    return (
        Runner.of(loaded.model),
        loaded.tokenizer,
        [ids_of(loaded, n, seed) for seed, n in enumerate(PARTS)],
    )


@pytest.mark.parametrize("family", FAMILIES)
class TestEveryFamily:
    def test_a_splice_is_a_prefill_under_its_layout(self, family: str):
        run, tokenizer, (head, one, two, asked) = parts_of(family)
        chunks = [precompile(run, tokenizer, ids, blind=True) for ids in (two, one)]
        spliced = splice(run, run.prefill(head).cache, *chunks)
        ids = [*head, *two, *one]
        want = AttentionLayout(42, blind=((13, 22), (22, 42)))
        assert spliced.layout == want
        whole = run.prefill(ids, want)
        same(spliced, whole.cache, 1e-4)
        ours, theirs = run.extend(spliced, asked), run.prefill([*ids, *asked], want)
        torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-4, rtol=1e-4)

    def test_a_field_in_a_chunk_is_edited_where_it_lies(self, family: str):
        run, tokenizer, (head, one, _, asked) = parts_of(family)
        new = list(one)
        new[5:7] = ids_of(tiny(family, window=WINDOW), 2, 9)
        inside = AttentionLayout(len(one), isolated=((5, 7),))
        chunk = precompile(run, tokenizer, one, blind=True, layout=inside)
        spliced = splice(run, run.prefill(head).cache, chunk)
        edited = run.recompute(spliced, [18, 19], new[5:7]).cache
        assert edited.layout == AttentionLayout(33, isolated=((18, 20),), blind=((13, 33),))
        full = run.prefill([*head, *new, *asked], edited.layout)
        same(edited, full.cache.slice(0, 33), 1e-4)
        torch.testing.assert_close(run.extend(edited, asked).logits, full.logits, atol=1e-4, rtol=1e-4)


def test_text_between_a_chunk_and_the_last_block_does_not_see_its_field():
    run, tokenizer, (head, one, two, asked) = parts_of("llama")
    chunk = precompile(run, tokenizer, one, blind=True, layout=AttentionLayout(len(one), ((5, 7),)))
    end = len(head) + len(one) + len(two)
    spliced = splice(run, run.prefill(head).cache, chunk, end=end)
    grown = run.extend(spliced, two).cache
    want = AttentionLayout(end, ((18, 20),), (), ((13, 33),))
    same(grown, run.prefill([*head, *one, *two], want).cache, 1e-4)
    assert run.extend(grown, asked).cache.layout == want


def test_a_plain_chunk_says_nothing_of_a_layout():
    run, tokenizer, (head, one, _, _) = parts_of("llama")
    assert splice(run, run.prefill(head).cache, precompile(run, tokenizer, one)).layout is None


def test_a_library_keeps_layouts_apart(tmp_path: Path):
    run, tokenizer, (head, one, _, _) = parts_of("llama")
    library, inside = ChunkLibrary(tmp_path), AttentionLayout(len(one), ((5, 7),))
    kinds: list[dict[str, Any]] = [{}, {"blind": True}, {"layout": inside}, {"blind": True, "layout": inside}]
    paths = {library.path_of(run, tokenizer, one, **kind) for kind in kinds}
    assert len(paths) == len(kinds)
    for kind in kinds:
        made = library.fetch(run, tokenizer, one, **kind)
        read = library.fetch(run, tokenizer, one, **kind)
        same(made.cache, read.cache, 0.0)
        assert (read.blind, read.cache.layout) == (kind.get("blind", False), kind.get("layout"))
        ours, theirs = (splice(run, run.prefill(head).cache, chunk) for chunk in (made, read))
        assert ours.layout == theirs.layout


def test_what_a_blind_chunk_cannot_have_is_refused():
    run, tokenizer, (head, one, _, _) = parts_of("llama")
    with pytest.raises(PkvError, match="a blind chunk was given 13 tokens before it"):
        precompile(run, tokenizer, one, context=head, sink="prefix", blind=True)
    with pytest.raises(PkvError, match="a layout was given together with 13 tokens before"):
        precompile(run, tokenizer, one, context=head, sink="prefix", layout=AttentionLayout(3))
    with pytest.raises(PkvError, match="begins at 5, inside a chunk of 20 tokens"):
        precompile(run, tokenizer, one, layout=AttentionLayout(5, ((2, 4),)))
    with pytest.raises(PkvError, match="blind spans of its own"):
        precompile(run, tokenizer, one, blind=True, layout=AttentionLayout(20, blind=((3, 6),)))
    chunk = precompile(run, tokenizer, one, blind=True)
    gone_on = run.prefill(head, AttentionLayout(8, ((3, 5),))).cache
    with pytest.raises(PkvError, match="past its attention layout's last block, from 8 on"):
        splice(run, gone_on, chunk)
    spliced = splice(run, run.prefill(head).cache, chunk)
    with pytest.raises(PkvError, match="a repair changes nothing"):
        seam_repair(run, spliced, (13, 33), [*head, *one], 4)
