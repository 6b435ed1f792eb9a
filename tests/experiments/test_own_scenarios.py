"""Own scenarios in the agent, in weight edits and where the gate adapter is judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments import find
from experiments.agent.arms import run_arms
from experiments.agent.cases import build_cases, style_of
from experiments.agent.settings import AgentSettings
from experiments.train_gate.cases import mechanism_cases
from experiments.train_gate.settings import TrainGateSettings
from experiments.weight_edits.cases import RecordSource
from experiments.weight_edits.settings import WeightEditsSettings
from pkv_interp.agent import Transcript
from pkv_interp.agent.transcript import field_span, policy_span
from pkv_interp.cache.compute import Runner
from pkv_interp.editing import EditableContext
from pkv_interp.errors import PkvError
from pkv_interp.models.load import LoadedModel
from pkv_interp.tasks import Scenarios, default_scenarios
from pkv_interp.training.probes import UNSEEN_LAYOUT, probes, seen_in_training
from pkv_interp.training.vocabulary import ACTIONS
from tests.experiments.test_own_data import scenarios
from tests.families import tiny

#: Every block a message of its own, no heading over the rule, no tools, and another cue.
TURNS: dict[str, Any] = {
    "name": "talk",
    "state": "Now the {field} is {value}.",
    "rule": "{before}{rule} {after}",
    "ask": "{request}\nChoose {menu}.",
    "cue": "Reply:",
    "turns": "each",
    "reply": "Noted.",
}
RULES = {
    "when": "When the {field} reads {trigger}, choose {act}. In any other case choose {other}.",
    "if": "If the {field} is {trigger}, {act}; else {other}.",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return scenarios(tmp_path / "my.yaml", layouts=[TURNS], rules=RULES)


@pytest.fixture
def loaded() -> LoadedModel:
    return tiny("llama")


def test_an_agent_works_in_own_scenarios_of_several_messages(file: Path, loaded: LoadedModel) -> None:
    settings = AgentSettings(scenarios=file, instances=1, turns=4, n_fillers=2)  # pyright: ignore
    cases = build_cases(settings, loaded.tokenizer)
    assert [one.family.name for one in cases.all] == ["my_documents", "my_alerts"]
    assert {one.wording for one in cases.all} == set(RULES)
    one = cases.all[0]
    for late in (False, True):
        opening = Transcript.open(one, style_of(settings, field_late=late), settings.world)
        prompt = opening.prompt(loaded.tokenizer)
        assert prompt.text.endswith("Reply:")
        start, end = policy_span(prompt)
        policy = "".join(prompt.tokens[start:end])
        assert policy.strip().startswith(one.chosen.fillers[0])
        assert all(text in policy for text in (one.trigger, *one.actions, one.chosen.fillers[1]))
        assert "Now the" not in policy
        at = field_span(opening, loaded.tokenizer)
        assert "".join(prompt.tokens[slice(*at)]).strip() == one.turns[0].value
    found = run_arms(
        Runner.of(loaded.model),
        loaded.tokenizer,
        one,
        style_of(settings, field_late=True),
        settings,
    )
    checks = found.checks
    for check in (checks.stale_equals_full, checks.prefix_cache_equals_full, checks.splice_in_place):
        assert check is not None
        assert check < 1e-4
    assert (checks.stale_refused, checks.current_accepted) == (1.0, 1.0)


def test_weight_edits_draw_records_and_battery_from_own_scenarios(file: Path, loaded: LoadedModel) -> None:
    settings = WeightEditsSettings(scenarios=file, others=1)  # pyright: ignore
    source = RecordSource.of(settings, loaded)
    assert [family.name for family in source.scored_families] == ["my_documents", "my_alerts"]
    (drawn,) = source.draw(source.scored_families[:1]).records
    edit = drawn.edit
    assert edit.family == "my_documents"
    for one in (edit.mine, edit.renewed, edit.rephrased, *edit.others):
        assert one.prompt.text.endswith("Reply:")
        # A cache is edited in the same prompt that the weights are edited for.
        context = EditableContext(loaded.model, loaded.tokenizer, one.messages, one.question, one.cue)
        logits = context.prefill().decide(one.actions).logits
        expected = source.runner.prefill(one.choice.ids).logits
        assert float((logits - expected).abs().max()) < 1e-4
    assert {edit.mine.prompt.text.count("else"), edit.rephrased.prompt.text.count("else")} == {0, 1}
    assert source.battery((), 4).families == ("my_orders", "my_support")


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"rules": {"if": RULES["if"]}}, "has one rule wording"),
        ({"request": "Decide."}, "does not name the record once"),
    ],
)
def test_scenarios_that_weight_edits_cannot_use_are_one_line(
    changes: dict[str, Any], cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = scenarios(tmp_path / "my.yaml", rules=RULES)
    text = yaml.safe_load(file.read_text())
    if "request" in changes:
        text["families"][0] |= changes
    else:
        text |= changes
    file.write_text(yaml.safe_dump(text))
    monkeypatch.setattr("pkv_interp.run.session.load", lambda _: pytest.fail("a model was loaded"))
    with pytest.raises(PkvError, match=cause) as raised:
        find("weight_edits").run(model="tiny-llama", scenarios=file, results_dir=tmp_path / "results")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("experiment", ["agent", "weight_edits"])
def test_values_that_do_not_suit_the_tokenizer_are_told_before_a_model_loads(
    experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = scenarios(tmp_path / "my.yaml", rules=RULES)
    text = yaml.safe_load(file.read_text())
    text["families"][-1]["actions"] = ["incomprehensibly", "deny"]
    file.write_text(yaml.safe_dump(text))
    monkeypatch.setattr("pkv_interp.run.session.load", lambda _: pytest.fail("a model was loaded"))
    with pytest.raises(PkvError, match=r"my\.yaml, family 'my_alerts', actions: 'incomprehensibly'"):
        find(experiment).run(model="tiny-llama", scenarios=file, results_dir=tmp_path / "results")


def test_an_agent_needs_two_domains_of_the_held_out_split(tmp_path: Path, loaded: LoadedModel) -> None:
    file = scenarios(tmp_path / "my.yaml", rules=RULES)
    text = yaml.safe_load(file.read_text())
    text["families"][-1]["split"] = "confirm"
    file.write_text(yaml.safe_dump(text))
    settings = AgentSettings(scenarios=file)  # pyright: ignore
    with pytest.raises(PkvError, match=r"has 1 family of the split 'held_out'; give at least 2"):
        build_cases(settings, loaded.tokenizer)


def test_the_gate_adapter_is_judged_on_own_scenarios(file: Path, loaded: LoadedModel) -> None:
    settings = TrainGateSettings(scenarios=file)  # pyright: ignore
    found = probes(settings.world, loaded.tokenizer, seed=0, lengths=(0, 2), instances=2)
    assert {probe.family for probe in found} == {
        f"my_{n}" for n in ("orders", "support", "documents", "alerts")
    }
    assert {probe.wording for probe in found} == set(RULES)
    for probe in found:  # in the file's layout, but for the layout that nobody was trained on
        unseen = probe.condition.startswith("layout-")
        assert probe.prompt.text.endswith(UNSEEN_LAYOUT.cue if unseen else "Reply:")
    cases = mechanism_cases(settings, loaded.tokenizer)
    assert [(case.family, case.changed) for case in cases[:2]] == [
        ("my_orders", "field"),
        ("my_orders", "trigger"),
    ]
    assert {case.wording for case in cases} <= set(RULES)
    assert seen_in_training(settings.world) == seen_in_training(default_scenarios()) == []
    text = yaml.safe_load(file.read_text())
    text["families"][1]["actions"] = list(ACTIONS[:2])
    file.write_text(yaml.safe_dump(text))
    assert seen_in_training(Scenarios.load(file)) == ["my_support"]


def test_an_experiment_of_fixed_prompts_says_that_it_takes_no_scenarios(file: Path) -> None:
    with pytest.raises(PkvError, match=r"'scenarios' cannot be used here: .*agent, .*circuit.* on them"):
        find("bench").run(scenarios=file)
