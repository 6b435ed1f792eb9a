"""A decision token over another model's cache, against plain forwards of the two models."""

from __future__ import annotations

import pytest
import torch

from pkv_interp.cache.frozen import PARTS, FrozenCache, Part
from pkv_interp.engine import Engine
from pkv_interp.measure.crossing import part_margins, part_rows, read_by
from pkv_interp.measure.pairs import run_pair
from pkv_interp.models.load import LoadedModel
from pkv_interp.tasks import Case, Style, field_case, polarity_case
from pkv_interp.tasks.scenarios import default_scenarios
from pkv_interp.tasks.token_kinds import token_kinds
from tests.families import tiny


def case_of(changed: str) -> Case:
    make = field_case if changed == "field" else polarity_case
    family = default_scenarios().by_name["orders"]
    return make(family, 0, tiny("llama").tokenizer, seed=0, style=Style(n_fillers=1))


@torch.no_grad()
def by_hand(reader: LoadedModel, cache: FrozenCache, last: int) -> torch.Tensor:
    """Logits of the reader's forward of one token over a cache."""
    ids = torch.tensor([[last]])
    return reader.model(input_ids=ids, past_key_values=cache.view(), use_cache=True).logits[0, -1]


@torch.no_grad()
def written_by_hand(writer: LoadedModel, ids: tuple[int, ...]) -> FrozenCache:
    out = writer.model(input_ids=torch.tensor([ids[:-1]]), use_cache=True)
    return FrozenCache.of(out.past_key_values)


@pytest.mark.parametrize("changed", ["field", "trigger"])
def test_reader_and_writer_are_two_plain_forwards(changed: str) -> None:
    writer, reader = tiny("llama"), tiny("llama", seed=1)
    case = case_of(changed)
    first_engine, engine = Engine(writer), Engine(reader)
    pair = read_by(engine, run_pair(first_engine, case, ()), first_engine)
    caches = [written_by_hand(writer, prompt.ids) for prompt in (case.clean, case.corrupt)]
    for one, cache in zip((pair.clean, pair.corrupt), caches, strict=True):
        expected = by_hand(reader, cache, case.clean.ids[-1])
        torch.testing.assert_close(one.logits, expected, atol=1e-4, rtol=1e-4)
    found = part_margins(engine, pair)
    clean, corrupt = caches
    kinds = token_kinds(case.clean)
    first, second = case.action_ids
    for name in found:
        positions: tuple[int, ...] = pair.notes
        donor, part = clean, "KV"
        if name.startswith("kind: "):
            positions = tuple(p for p in pair.notes if kinds[p] == name.removeprefix("kind: "))
        elif name.endswith("patch"):
            positions, donor = pair.changed + pair.notes, clean if name == "full_patch" else corrupt
        else:
            told: list[Part] = [p for p in PARTS if name.endswith(f"_{p}")]
            part: Part = told[0] if told else "KV"
            positions = pair.notes if name.startswith("notes") else pair.changed
        logits = by_hand(reader, corrupt.replace(positions, donor, part=part), case.clean.ids[-1])
        assert found[name] == pytest.approx(float(logits[first] - logits[second]), abs=1e-4), name
    assert set(part_rows(pair)) == set(found)
    assert sum(name.startswith("kind: ") for name in found) >= 3


def test_own_cache_read_again_is_the_prefill_and_anothers_is_not() -> None:
    """The control of a run, and the adversary that it must tell: the weights of another model."""
    writer, other = Engine(tiny("llama")), Engine(tiny("llama", seed=1))
    pair = run_pair(writer, case_of("field"), ())
    own = read_by(writer, pair, writer)
    torch.testing.assert_close(own.clean.logits, pair.clean.logits, atol=1e-4, rtol=1e-4)
    assert float((read_by(other, pair, writer).clean.logits - pair.clean.logits).abs().max()) > 1e-2
