"""Records and programs of the explorer: valid, and they say what the page says."""

from __future__ import annotations

import contextlib
import io
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.explore import record as records_of
from experiments.explore.desk import Ready
from experiments.explore.record import name_of, record_of
from experiments.explore.snippet import snippet_of
from experiments.explore.state import Compose, Edit, Heads, Notes, Own, Scenario, State, Step
from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import ModelConfig, load_catalogue_entry
from pkv_interp.plots.tokens import token_text
from pkv_interp.records import check, read
from tests.experiments.explore_examples import OWN, PATIENCE, SCENARIO, explorer, value

WORDS = (60, 70)


def state_of(source: object = SCENARIO) -> State:
    return State.model_validate(
        {
            "source": source,
            "notes": Notes(words=WORDS if isinstance(source, Scenario) else (30, 31)),
            "heads": Heads(chosen=((0, 1), (2, 2))),
            "edit": Edit(
                methods=("stale", "erratum", "full_reprefill"),
                chain=(Step(field="order status", value="returned", method="erratum"),),
            ),
            "compose": Compose(span=(20, 28), to=24, repair=2),
        }
    )


def printed(state: State) -> dict[str, list[str]]:
    """What the program of a state prints, by the first word of each line."""
    pair = explorer().maker.make(state.source)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(snippet_of(explorer(), state, pair), "snippet", "exec"), {})  # noqa: S102
    return {line.split()[0]: line.split()[1:] for line in out.getvalue().splitlines()}


def test_a_record_is_read_and_checked_like_any_other(tmp_path: Path) -> None:
    state = state_of()
    tried = value(explorer().edits(state, PATIENCE)).tried
    made = record_of(explorer(), state)
    place = tmp_path / "explore" / name_of(made)
    place.parent.mkdir()
    place.write_text(made.model_dump_json())
    assert check(tmp_path) == (1, [])
    again = read(place)
    assert again.status == "success"
    assert {one.name for one in again.controls} == {"self_patch", "full_patch"}
    assert State.model_validate(again.config["state"]) == state
    rows = {row.arm: row for row in again.rows}
    assert rows["words"].patched == value(explorer().joint(state, PATIENCE)).words
    assert rows["edit/erratum"].patched == next(one.margin for one in tried if one.method == "erratum")
    assert len(again.tables["tokens"]) == len(explorer().maker.make(SCENARIO).case.clean)
    drawn = token_text(again)
    assert again.competence is not None
    assert not again.competence.passed  # its weights are random
    assert "not competent" in drawn.to_plotly_json()["layout"]["title"]["text"]


def test_no_record_where_a_control_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    state = state_of()
    sound = value(explorer().joint(state, PATIENCE))

    def moved(*_: object) -> object:
        return Ready(replace(sound, itself=sound.itself + 1.0), 0.0)

    monkeypatch.setattr(records_of.Explorer, "joint", moved)
    with pytest.raises(PkvError, match="self_patch"):
        record_of(explorer(), state)


def test_without_a_gap_no_word_has_a_recovery(monkeypatch: pytest.MonkeyPatch) -> None:
    state = state_of()
    found = value(explorer().opened(SCENARIO, PATIENCE))
    made = value(explorer().joint(state, PATIENCE))
    level = replace(found, clean=replace(found.clean, margin=found.corrupt.margin))
    same = replace(made, itself=level.corrupt.margin, everything=level.clean.margin)
    words = np.full(len(found.notes), np.nan)
    for name, shown in (("opened", level), ("joint", same), ("words", words)):
        monkeypatch.setattr(records_of.Explorer, name, lambda *_, shown=shown: Ready(shown, 0.0))
    assert "tokens" not in record_of(explorer(), state).tables


def test_a_refused_prompt_has_no_record() -> None:
    with pytest.raises(PkvError, match="nothing to compare"):
        record_of(explorer(), state_of(OWN.model_copy(update={"context": "nothing"})))


@pytest.mark.parametrize("source", [SCENARIO, OWN], ids=["scenario", "own"])
def test_the_program_prints_the_numbers_of_the_page(source: object) -> None:
    state, ask = state_of(source), explorer()
    notes = printed(state.model_copy(update={"view": "notes"}))
    opened = value(ask.opened(state.source, PATIENCE))
    assert float(notes["clean"][0]) == pytest.approx(opened.clean.margin, abs=1e-4)
    assert float(notes["corrupt"][0]) == pytest.approx(opened.corrupt.margin, abs=1e-4)
    assert float(notes["words"][0]) == pytest.approx(value(ask.joint(state, PATIENCE)).words, abs=1e-4)
    edits = printed(state.model_copy(update={"view": "edit"}))
    for one in value(ask.edits(state, PATIENCE)).tried:
        choice, margin, kl, tokens = edits[one.method]
        assert (choice, int(tokens)) == (one.choice, one.tokens)
        assert (float(margin), float(kl)) == pytest.approx((one.margin, one.kl), abs=1e-4)
    (link,) = value(ask.chain(state, PATIENCE))
    assert float(edits["chain"][1]) == pytest.approx(link.after.margin, abs=1e-4)


@pytest.mark.parametrize("source", [SCENARIO, OWN], ids=["scenario", "own"])
def test_the_program_renders_with_the_thinking_switch_of_the_page(source: Scenario | Own) -> None:
    ask = copy(explorer())
    ask.maker = replace(ask.maker, thinking=False)
    text = snippet_of(ask, State(source=source), ask.maker.make(source))
    assert "thinking=False" in text
    assert "thinking=None" not in text


@pytest.mark.parametrize(
    "model",
    [
        ModelConfig(name="local", source="local", path="weights/my model"),
        load_catalogue_entry("tiny-llama", seed=3),
        load_catalogue_entry("qwen3-0.6b"),
    ],
    ids=["folder", "overridden", "catalogue"],
)
def test_the_program_loads_the_model_of_the_page(model: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = copy(explorer())
    ask.loaded = replace(ask.loaded, config=model)
    text = snippet_of(ask, State(source=SCENARIO), ask.maker.make(SCENARIO))
    asked: list[ModelConfig] = []

    class Stopped(Exception):
        """Ends the program where it would load."""

    def stop(config: ModelConfig) -> None:
        asked.append(config)
        raise Stopped

    monkeypatch.setattr("pkv_interp.models.load.load", stop)
    with pytest.raises(Stopped):
        exec(compile(text, "snippet", "exec"), {})  # noqa: S102
    assert asked == [model]


@pytest.mark.parametrize("mode", ["patch", "knockout"])
@pytest.mark.parametrize("site", ["read", "write"])
def test_the_program_repeats_heads(site: str, mode: str) -> None:
    state = state_of()
    heads = state.heads.model_copy(update={"site": site, "mode": mode})
    state = state.model_copy(update={"view": "heads", "heads": heads})
    effect = value(explorer().chosen_heads(state, PATIENCE))
    assert float(printed(state)["heads"][0]) == pytest.approx(effect, abs=1e-3)


def test_the_program_repeats_a_chunk() -> None:
    state = state_of().model_copy(update={"view": "compose"})
    found = printed(state)["chunk"]  # the last line: the other prompt's
    moved = value(explorer().moved(state, wait=PATIENCE))["corrupt"][2]
    assert found[0] == "corrupt"
    assert (float(found[1]), float(found[2])) == pytest.approx((moved.spliced, moved.kl), abs=1e-4)
