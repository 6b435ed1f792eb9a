"""The composing experiment through its real command line, and its parts on examples with known answers."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments.composing.calls import answer, parsed, write_call
from experiments.composing.cases import Growth, build_scene
from experiments.composing.experiment import EXPERIMENT
from experiments.composing.figures import FIGURES
from experiments.composing.requests import build_requests
from experiments.composing.scenes import measure_scene
from experiments.composing.settings import CONDITIONS, LOOKUP, ComposingSettings
from experiments.composing.spliced import Arms
from experiments.composing.timing import text_of, time_round
from experiments.composing.windows import diagnose
from pkv_interp.cache import Runner
from pkv_interp.errors import PkvError
from pkv_interp.plots.tables import NOT_COMPETENT
from pkv_interp.prompts.blocks import block_span
from pkv_interp.records import RunRecord, load_records
from pkv_interp.records.__main__ import main as records_command
from pkv_interp.tasks import FAMILIES
from tests import runs
from tests.experiments.configs import compose
from tests.families import ids_of, tiny
from tests.refused import refused


@pytest.fixture(scope="module")
def record(composing_results: Path) -> RunRecord:
    (found,) = load_records(composing_results)
    return found


@pytest.fixture(scope="module")
def settings() -> ComposingSettings:
    made = compose("composing", *runs.COMPOSING)
    assert isinstance(made, ComposingSettings)
    return made


def lines(record: RunRecord, name: str, **wanted: Any) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = record.tables[name]  # type: ignore[assignment]
    return [line for line in table if all(line[k] == v for k, v in wanted.items())]


def test_the_record_is_valid_and_its_controls_have_passed(composing_results: Path, record: RunRecord) -> None:
    assert records_command(["check", str(composing_results)]) == 0
    controls = {control.name: control.value for control in record.controls}
    assert controls["there_and_back"] <= 1e-5
    assert controls["splice_at_own_position"] <= 1e-4
    # Random weights claim nothing about notes; time is no claim about them.
    assert {name for name in record.headline if not name.startswith("ttft_")} == {"competence"}
    assert {"ttft_ratio_96", "ttft_ratio_160", "ttft_exponent"} <= set(record.headline)
    assert not (composing_results / ".partial").exists()


def test_tables_follow_from_the_settings(record: RunRecord) -> None:
    assert [line["condition"] for line in lines(record, "conditions")] == record.config["conditions"]
    one = {line["arm"] for line in lines(record, "fidelity", condition="system_area")}
    assert one == {"transplant", "no_rotation", "seam1", "seam16", "cacheblend"}
    many = {line["arm"] for line in lines(record, "fidelity", condition="all")}
    assert many == {"transplant", "no_rotation", "epic1", "epic4", "cacheblend"}
    for condition, wrong in (("rule", False), ("rule_after_field", True)):
        prepared = {line["arm"] for line in lines(record, "fidelity", condition=condition)}
        assert "behind_stranger" in prepared
        assert ("behind_other_side" in prepared) == wrong  # the field stands before the chunk only there
    sizes = {(line["curve"], line["size"]) for line in lines(record, "curves")}
    assert sizes == {(c, n) for c in ("chunk_fillers", "distance_fillers") for n in (0, 2)} | {
        ("skills", 1),
        ("skills", 3),
    }
    assert len(lines(record, "diagnosis")) == 8
    assert [line["length"] for line in lines(record, "time")] == [96, 160]
    assert all(line["full"] > 0 and line["composed"] > 0 for line in lines(record, "time"))
    assert lines(record, "tool_setup")[0]["competent"] is False


def test_the_chunk_grows_and_moves_along_the_curves(record: RunRecord) -> None:
    for curve, column in (("chunk_fillers", "chunk"), ("distance_fillers", "moved"), ("skills", "chunk")):
        sizes = [line[column] for line in lines(record, "curves", curve=curve, arm="transplant")]
        assert sizes == sorted(sizes)
        assert sizes[0] < sizes[-1]


def test_a_summary_made_again_without_the_model_is_the_same(
    composing_results: Path, record: RunRecord, tmp_path: Path
) -> None:
    assert record.path is not None
    copied = shutil.copytree(composing_results, tmp_path / "results") / "composing" / record.path.name
    EXPERIMENT.summarise_again(copied)
    assert copied.read_bytes() == record.path.read_bytes()


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_drawn_and_marked(name: str, record: RunRecord) -> None:
    figure: Any = FIGURES[name](record)
    assert NOT_COMPETENT in figure.layout.title.text
    assert record.model_name in figure.layout.title.subtitle.text
    assert len(figure.data) > 0


def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    given = runs.last(*runs.COMPOSING, "families=[orders,nobody]", f"results_dir={tmp_path}")
    assert "unknown scenario family 'nobody'" in refused(capfd, "composing", *given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("argument", "cause"),
    [
        ("families=[orders]", "name at least two families"),
        ("conditions=[facts]", "name 'rule' and others"),
        ("conditions=[rule,nothing]", "name 'rule' and others"),
        ("seams=[4,1]", "rising order"),
        ("lengths=[100]", "at least two lengths"),
        ("lengths=[40,256]", "leave room for a chunk"),
        ("blend_share=0", "greater than 0"),
        ("tool_values=4", "less than or equal to 3"),
    ],
)
def test_settings_are_checked(argument: str, cause: str) -> None:
    kept = [a for a in runs.COMPOSING if a.split("=")[0] != argument.split("=")[0]]
    with pytest.raises(PkvError, match=cause):
        compose("composing", *kept, argument)


@pytest.mark.parametrize("condition", [*CONDITIONS, LOOKUP])
def test_chunks_are_whole_blocks_in_their_place(condition: str, settings: ComposingSettings) -> None:
    loaded = tiny("llama")
    made = build_scene(condition, FAMILIES[0], 0, loaded.tokenizer, settings)
    prompt = made.case.clean
    texts = ["".join(prompt.tokens[a:b]) for a, b in made.spans]
    assert [one[1] for one in made.spans[:-1]] == [one[0] for one in made.spans[1:]]
    policy = next((t for t in texts if "Policy" in t), "")
    field = prompt.spans["field"][0]
    if condition in ("rule", "system_area", "mid_trajectory"):
        assert policy
        assert field >= made.spans[-1][1]
    if condition == "rule_after_field":
        assert field < made.spans[0][0]
    if condition == "facts_after_rule":
        assert block_span(prompt, "policy")[1] <= made.spans[0][0]
    if condition == "system_area":
        assert prompt.text.index("Policy") < prompt.text.index("user")
    if condition == "mid_trajectory":
        assert prompt.text.index("Good morning") < prompt.text.index("Policy")
    assert len(made.spans) == (3 if condition == "all" else 1)


def test_skills_are_one_chunk_each_with_the_right_one_among_them(settings: ComposingSettings) -> None:
    loaded = tiny("llama")
    growth = Growth(skills=FAMILIES[1:4])
    made = build_scene("rule", FAMILIES[0], 0, loaded.tokenizer, settings, growth)
    texts = ["".join(made.case.clean.tokens[a:b]) for a, b in made.spans]
    assert len(texts) == 4
    assert all(text.lstrip().startswith("Policy") for text in texts)
    assert [FAMILIES[0].field in text for text in texts].count(True) == 1


def test_gold_answers_and_menus_are_balanced(settings: ComposingSettings) -> None:
    loaded = tiny("llama")
    first: list[bool] = []
    for family in FAMILIES:
        case = build_scene("rule", family, 0, loaded.tokenizer, settings).case
        asked = case.clean.text[case.clean.text.rindex("Answer with one word") :]
        first.append(asked.index(case.actions[0]) < asked.index(case.actions[1]))
    assert 4 <= sum(first) <= 12  # and each family has both gold answers under one menu


def test_a_repair_of_the_whole_chunk_agrees_with_full_exactly(settings: ComposingSettings) -> None:
    loaded = tiny("gemma3")
    made = build_scene("rule_after_field", FAMILIES[0], 0, loaded.tokenizer, settings)
    found = measure_scene(Runner.of(loaded.model), loaded.tokenizer, made, Arms((1, 1000), share=1.0))
    for side in found.sides:
        for arm in ("seam1000", "cacheblend"):
            assert side.arms[arm].kl < 1e-6
            assert side.arms[arm].margin == pytest.approx(side.margin, abs=1e-3)
        assert side.arms["transplant"].kl > 1e-4


def test_calls_are_parsed_and_not_matched_as_text() -> None:
    assert parsed('{"name": "play_song", "arguments": {"title": "Hurt"}} and more') == (
        "play_song",
        {"title": "Hurt"},
    )
    assert parsed('{"name": "play_song", "arguments": {"title": "Hurt"}') is None
    assert parsed('{"arguments": {"title": "Hurt"}}') is None
    assert parsed("play_song Hurt") is None


def test_a_model_that_answers_is_scored_by_its_call(
    settings: ComposingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = tiny("llama")
    requests = build_requests(settings, loaded.tokenizer)
    assert len(requests) == 6
    runner = Runner.of(loaded.model)
    ids = requests[0].prompt.ids
    text, call = write_call(runner, loaded.tokenizer, runner.prefill(ids[:-2]).cache, ids[-2:], 3)
    assert text.startswith("{")
    assert call is None
    replies = iter([(json.dumps(request.call), request.call) for request in requests[:2]])
    monkeypatch.setattr("experiments.composing.calls.write_call", lambda *_: next(replies))
    asked = [requests[0], replace(requests[1], call=("x", {}))]
    answers = [answer(runner, loaded.tokenizer, request, "full", 3) for request in asked]
    assert [one.right for one in answers] == [True, False]
    assert all(one.called is not None for one in answers)


def test_the_diagnosis_tells_the_causes_apart() -> None:
    loaded = tiny("gemma3")
    bos: Any = loaded.tokenizer.bos_token_id
    ids = [bos, *ids_of(loaded, 220, 5)]
    found = diagnose(Runner.of(loaded.model), loaded.tokenizer, ids, (96, 192))
    kl = {line.causes: line.kl for line in found}
    assert len(kl) == 8
    assert kl[True, True, True] < min(kl[True, False, True], kl[True, True, False])
    with pytest.raises(PkvError, match="no sliding window"):
        diagnose(Runner.of(tiny("llama").model), tiny("llama").tokenizer, ids, (96, 192))


def test_times_are_of_the_lengths_asked_for() -> None:
    loaded = tiny("llama")
    runner = Runner.of(loaded.model)
    assert len(text_of(FAMILIES[0], 333, loaded.tokenizer, 0)) == 333
    found = time_round(runner, loaded.tokenizer, FAMILIES[0], (64, 96), 8, 0)
    assert [timed.length for timed in found.lengths] == [64, 96]


def test_every_function_stands_once_in_every_place(settings: ComposingSettings) -> None:
    requests = build_requests(settings.model_copy(update={"tool_values": 1}), tiny("llama").tokenizer)
    places = []
    for request in requests:
        spec = request.prompt.text.partition("functions below")[2]
        names = re.findall(r'"name": "(\w+)", "description"', spec)
        assert sorted(names) == sorted(one.function for one in requests)
        places.append(names.index(request.function))
    assert sorted(places) == list(range(len(requests)))
