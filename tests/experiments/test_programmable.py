"""The experiment on programmable caches through its command line, and its summary on known numbers."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments.programmable import splices
from experiments.programmable.adapters import AdapterChoice
from experiments.programmable.cost import edit_costs
from experiments.programmable.drifting import drift, steps
from experiments.programmable.edits import edit_margins
from experiments.programmable.experiment import EXPERIMENT
from experiments.programmable.figures import FIGURES
from experiments.programmable.settings import ProgrammableSettings
from experiments.programmable.splices import splice_margins
from pkv_interp.cache import AttentionLayout
from pkv_interp.editing import State
from pkv_interp.errors import PkvError
from pkv_interp.measure.edit_patterns import LINKS, Patterns, with_links
from pkv_interp.measure.edit_scenes import EditScene, SceneSource
from pkv_interp.measure.patterns import rule_span
from pkv_interp.models.load import LoadedModel
from pkv_interp.plots.tables import NOT_COMPETENT
from pkv_interp.records import RunRecord, load_records
from pkv_interp.records.__main__ import main as records_command
from pkv_interp.training.trainer import TrainSettings, add_lora, write_adapter
from tests import runs
from tests.experiments.configs import compose as compose_settings
from tests.families import tiny

LOGITS = 1e-3


@pytest.fixture(scope="module")
def record(small_results: Callable[[str], Path]) -> RunRecord:
    (found,) = load_records(small_results("programmable"))
    return found


def lines_of(record: RunRecord, name: str) -> list[dict[str, Any]]:
    return record.tables[name]  # type: ignore[return-value]


def small(**changes: Any) -> ProgrammableSettings:
    made = compose_settings("programmable", *runs.PROGRAMMABLE)
    assert isinstance(made, ProgrammableSettings)
    return made.model_copy(update=changes)


def scene_of(place: str = "early") -> tuple[LoadedModel, EditScene]:
    loaded = tiny("llama")
    source = SceneSource.of(small(), loaded.tokenizer)
    return loaded, source.scenes(source.style(1, late=place == "late"), 1)[0]


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of the tiny model that does something."""
    model = add_lora(copy.deepcopy(tiny("llama").model), TrainSettings((), rank=2, base="a"))
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    place = tmp_path_factory.mktemp("adapter") / "trained"
    write_adapter(model, TrainSettings((), rank=2, base="a"), place)
    return place


class TestRecord:
    def test_it_is_valid_and_claims_nothing_of_random_weights(
        self, record: RunRecord, small_results: Callable[[str], Path]
    ):
        assert records_command(["check", str(small_results("programmable"))]) == 0
        controls = {control.name: control.value for control in record.controls}
        assert controls["isolated_edit_equals_prefill"] < 1e-4
        assert controls["blind_splice_equals_prefill"] < 1e-4
        told = {control.name: control.detail for control in record.controls}
        assert "4 short prompts" in told["isolated_edit_equals_prefill"]  # and none of the two long ones
        assert set(record.headline) == {"competence", "edit_latency_ratio"}
        assert {line["outcome"] for line in lines_of(record, "claims")} == {"not applicable"}

    def test_what_is_not_there_is_withheld_with_the_reason(self, record: RunRecord):
        withheld = {line["headline"]: line["reason"] for line in lines_of(record, "withheld")}
        assert withheld["field_only_isolated"] == "no programmable adapter was given"
        assert withheld["reader_field_only"] == "no reader adapter was given"
        assert sum("adapter was given" in remark for remark in record.remarks) == 3
        assert {line["role"] for line in lines_of(record, "edits")} == {"gate"}

    def test_a_summary_made_again_without_the_model_is_the_same(
        self, small_results: Callable[[str], Path], record: RunRecord, tmp_path: Path
    ):
        assert record.path is not None
        made = shutil.copytree(small_results("programmable"), tmp_path / "results")
        copied = made / "programmable" / record.path.name
        EXPERIMENT.summarise_again(copied)
        assert copied.read_bytes() == record.path.read_bytes()

    @pytest.mark.parametrize("name", FIGURES)
    def test_figures_are_drawn_and_marked(self, name: str, record: RunRecord):
        figure: Any = FIGURES[name](record)
        assert NOT_COMPETENT in figure.layout.title.text
        drawn = {
            "decisions": 2,
            "cost": 6,
            "joined": 3,
            "conflict": 2,
            "hops": 4,
            "decodability": 8,
            "paths": 1,
        }
        assert len(figure.data) == drawn[name]

    def test_an_adapter_that_is_given_is_measured_on_the_same_cases(
        self, adapter: Path, record: RunRecord, tmp_path: Path
    ):
        runs.inside(
            "programmable",
            *runs.last(
                *runs.PROGRAMMABLE,
                f"programmable={adapter}",
                f"doses=[{adapter}]",
                "chats=0",
                f"results_dir={tmp_path}",
            ),
        )
        (made,) = load_records(tmp_path)
        by_role = {
            role: [x for x in lines_of(made, "edits") if x["role"] == role]
            for role in ("gate", "programmable")
        }
        assert [x["length"] for x in by_role["gate"]][:9] == [x["length"] for x in by_role["programmable"]][
            :9
        ]
        given: Any = made.config["programmable"]
        assert given["name"] == "trained"
        assert made.key != record.key
        conflict = {x["model"]: x["value"] for x in lines_of(made, "conflict") if x["strength"] == 0.5}
        assert list(conflict) == ["gate", "programmable", "dose trained"]
        (shared,) = lines_of(made, "read_heads")
        assert (shared["one"], shared["other"]) == ("gate", "programmable")
        withheld = {line["headline"]: line["reason"] for line in lines_of(made, "withheld")}
        assert "field_only_isolated" not in withheld
        assert withheld["chat_loss_ratio"] == "it was not measured at these sizes"


class TestControlsCanFail:
    def test_an_edit_that_leaves_a_link_stale_is_no_prefill(self, monkeypatch: pytest.MonkeyPatch):
        loaded, scene = scene_of()
        good = edit_margins(loaded, scene, 1).apart
        assert good is not None
        assert good < 1e-4
        monkeypatch.setattr(AttentionLayout, "read_by", lambda *_: [])
        stale = edit_margins(loaded, scene, 1).apart
        assert stale is not None
        assert stale > LOGITS

    def test_a_chunk_that_is_not_turned_is_no_prefill(self, monkeypatch: pytest.MonkeyPatch):
        loaded, scene = scene_of()
        assert splice_margins(loaded, scene).apart < 1e-4
        plain = splices.precompile
        monkeypatch.setattr(
            splices, "precompile", lambda *a, **k: replace(plain(*a, **k), start=40)
        )  # turned from another place than it was made at
        assert splice_margins(loaded, scene).apart > LOGITS


class TestPatterns:
    def test_links_stand_right_after_the_rule(self):
        loaded, scene = scene_of()
        made = Patterns.of(loaded, scene, 3)
        head = made.plain.renderer.head(with_links(scene.task.messages, 3))
        start, stop = head.prompt.spans[LINKS]
        rule = rule_span(head.prompt)
        assert rule is not None
        assert rule[1] == start
        assert "".join(head.prompt.tokens[start:stop]) == " => => =>"
        layout = made.isolated.prefill().cache.layout
        assert layout is not None
        assert layout.links == ((start, stop),)
        assert len(layout.isolated) == 1 + len(scene.task.bystanders)

    def test_the_rule_itself_is_the_link_where_it_stands_after_the_field(self):
        loaded, scene = scene_of()
        made = Patterns.of(loaded, scene)
        assert made.ruled is not None
        state = made.ruled.prefill()
        layout = state.cache.layout
        assert layout is not None
        ((start, stop),) = layout.links
        text = "".join(state.layout.head.prompt.tokens[start:stop])
        assert scene.task.old_action in text
        assert scene.task.new_action in text
        assert "\n" not in text.strip()
        edited = state.edit(scene.task.field, scene.task.new, "field_only")
        own = state.spans[scene.task.field]
        assert edited.exact
        assert edited.cost.tokens == own[1] - own[0] + stop - start

    def test_links_stand_after_a_policy_that_is_moved_and_the_splice_is_still_exact(self):
        loaded, scene = scene_of()
        plain = Patterns.of(loaded, scene).plain
        messages = with_links(scene.task.messages, 2, after_policy=True)
        prompt = plain.renderer.head(messages).prompt
        start, stop = prompt.spans[LINKS]
        assert prompt.kinds[start - 1] in ("filler", "rule")
        assert "".join(prompt.tokens[stop : stop + 1]).startswith("\n")
        with_, without = (splice_margins(loaded, scene, links) for links in (2, 0))
        assert with_.apart < 1e-4
        assert with_.full == pytest.approx(without.full)
        assert with_.splice_blind != pytest.approx(without.splice_blind, abs=1e-6)
        late = scene_of("late")[1]
        assert splice_margins(loaded, late, 2) == splice_margins(loaded, late, 0)

    def test_a_rule_before_the_field_reads_nothing_and_is_no_link(self):
        assert Patterns.of(*scene_of("late")).ruled is None


class TestParts:
    def test_baselines_are_measured_where_they_are_asked_for(self):
        loaded, scene = scene_of()
        asked: list[int] = []

        def order(state: State) -> list[int]:
            asked.extend(range(state.spans[scene.task.field][1], len(state.ids)))
            return asked

        plain, more = edit_margins(loaded, scene, 0), edit_margins(loaded, scene, 0, order)
        assert asked
        assert set(more.margins) - set(plain.margins) == {"tagged_erratum", "hoist", "recompute_32"}
        assert {arm: more.margins[arm] for arm in plain.margins} == pytest.approx(plain.margins, abs=1e-4)
        assert more.tokens["field_only_isolated"] == 1

    def test_many_edits_under_the_pattern_end_in_its_prefill_and_plain_ones_do_not(self):
        loaded, scene = scene_of()
        found = drift(loaded, scene, 1, 7)
        assert found.isolated < 1e-4
        assert found.alike
        assert found.plain > 1e-4

    @pytest.mark.parametrize("edits", [1, 2, 3, 4, 7, 28])
    def test_each_of_many_edits_changes_the_value_that_it_finds(self, edits: int):
        values = {"mine": ("old", "new"), "another": ("before", "after")}
        for named in (values, {"mine": values["mine"]}):
            now = {name: old for name, (old, _) in named.items()}
            made = steps(named, edits)
            assert len(made) == edits
            for name, value in made:
                assert value != now[name]
                now[name] = value
            assert now["mine"] == ("new" if len(named) == 2 or edits % 2 else "old")
            assert {name for name, _ in made} == set(named) or edits == 1

    def test_an_isolated_edit_costs_its_own_tokens_and_the_suffix(self):
        loaded, scene = scene_of()
        found = edit_costs(loaded, scene, 0, 3)
        base = Patterns.of(loaded, scene).plain.prefill()
        suffix = len(base.context.renderer.after(base.suffix()))
        assert found.arms["isolated"].tokens == [1 + suffix] * 3
        assert found.arms["full"].tokens == [found.length + suffix] * 3
        rule = found.arms["rule_linked"].tokens[0]
        assert 1 + suffix < rule < found.length
        assert "isolated_read" not in found.arms  # no model that was trained to read was given
        more = edit_costs(loaded, scene, 0, 3, loaded)
        read = Patterns.of(loaded, scene).isolated.reading_back(scene.task.field)
        values = [read.edit(scene.task.field, new, "field_only").decide(scene.actions).value
                  for new in (scene.task.new, scene.task.old)]  # fmt: skip
        renderer = read.renderer
        for tokens, value in zip(more.arms["isolated_read"].tokens, values, strict=False):
            asked = renderer.after(base.suffix(cue=f"{scene.task.field}: {value}"))
            said = renderer.after(base.suffix(cue=f"{scene.task.field}: {value}\nAction:"))
            assert tokens == 1 + len(asked) + len(said)
        assert all(one.seconds[0] > 0 for one in found.arms.values())


class TestAdapters:
    def test_an_adapter_is_named_by_its_content(self, adapter: Path, tmp_path: Path):
        one = AdapterChoice.open(adapter)
        other = tmp_path / "moved"
        shutil.copytree(adapter, other)
        assert AdapterChoice.open(other).sha256 == one.sha256
        assert (
            AdapterChoice.open("smollm2-135m-gate").sha256 == AdapterChoice.open("gate_smollm2_135m").sha256
        )
        with pytest.raises(PkvError, match="only name and hash"):
            _ = AdapterChoice(name="a", sha256="0").path
