"""Experiments on edits and splices with a model whose catalogue entry names an attention pattern."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from experiments import find
from experiments.agent.arms import EpisodeRun, run_arms
from experiments.agent.cases import build_cases, style_of
from experiments.agent.settings import AgentSettings
from experiments.composing.cases import build_scene
from experiments.composing.checks import measure_checks
from experiments.composing.settings import ComposingSettings
from experiments.composing.spliced import FULL_BLIND, TRANSPLANT, Arms, SplicedPrompt
from experiments.editing import measure
from experiments.editing.asking import ask_every_kind
from experiments.editing.frontier import edit_every_way
from experiments.editing.settings import EditingSettings
from experiments.keystone.contexts import Versions, composed
from experiments.keystone.settings import CUTS, EDITED
from pkv_interp.agent import loop
from pkv_interp.cache import AttentionLayout, Runner
from pkv_interp.engine import Engine
from pkv_interp.errors import PkvError
from pkv_interp.measure.edit_ranking import learn_attention, score_attention
from pkv_interp.measure.edit_scenes import EditScene, SceneSource, open_context
from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.models.load import LoadedModel
from pkv_interp.records import RunRecord, load_records
from pkv_interp.tasks import default_scenarios
from pkv_interp.tolerances import tolerance_of
from tests import runs
from tests.experiments.configs import compose
from tests.families import tiny

#: Largest difference in logits of what is equal by construction, and the least of what is not.
EQUAL, OTHER = 1e-4, 1e-3
PATTERN = "+model.pattern=rule_linked"


def patterned() -> LoadedModel:
    loaded = tiny("llama")
    return replace(loaded, config=loaded.config.model_copy(update={"pattern": "rule_linked"}))


def scene() -> EditScene:
    world = default_scenarios()
    source = SceneSource(
        tuple(world.choose(["documents"])), world, None, tiny("llama").tokenizer, 0, 1, True, None
    )
    return source.scenes(source.style(1), 1)[0]


def see_everything(_: AttentionLayout, queries: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(queries), len(columns), dtype=torch.bool)


class TestRuns:
    @pytest.mark.parametrize("experiment", ["editing", "keystone", "composing", "agent"])
    def test_a_missing_adapter_is_told_before_anything_loads(
        self, experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        entry = load_catalogue_entry("smollm2-135m-programmable")
        assert entry.pattern == "rule_linked"
        entry = entry.model_copy(update={"adapter": "not_trained_yet"})

        def load(_: Any) -> None:
            pytest.fail("the model was loaded")

        monkeypatch.setattr("pkv_interp.run.session.load", load)
        with pytest.raises(PkvError, match="adapter directory .* is missing; train it") as told:
            find(experiment).run(model=entry, results_dir=tmp_path)
        assert "\n" not in str(told.value)
        assert not list(tmp_path.rglob("*.json"))

    @pytest.mark.parametrize(
        ("experiment", "names", "less"),
        [
            ("keystone", {"isolated_edit_equals_prefill"}, ()),
            (
                "agent",
                {"isolated_edit_equals_prefill", "blind_splice_equals_prefill"},
                ("seam=0", "both_layouts=1"),
            ),
        ],
    )
    def test_the_pattern_is_heeded_and_told(
        self, experiment: str, names: set[str], less: tuple[str, ...], tmp_path: Path
    ):
        runs.small(experiment, tmp_path, PATTERN, *less)
        (record,) = load_records(tmp_path)
        controls = {control.name: control.value for control in record.controls}
        assert names <= set(controls)
        assert max(controls[name] for name in names) < EQUAL
        assert any("under the pattern 'rule_linked'" in remark for remark in record.remarks)

    def test_where_no_edit_is_exact_no_control_says_so(self, tmp_path: Path):
        runs.small("keystone", tmp_path, PATTERN, "methods=[erratum]")
        (record,) = load_records(tmp_path)
        assert "isolated_edit_equals_prefill" not in {control.name for control in record.controls}
        assert any("under the pattern 'rule_linked'" in remark for remark in record.remarks)

    def test_composing_says_what_is_blind_and_that_its_full_prefill_is_not(self, tmp_path: Path):
        runs.small("composing", tmp_path, PATTERN)
        (record,) = load_records(tmp_path)
        (told,) = [remark for remark in record.remarks if "pattern" in remark]
        assert told.startswith("chunks and the arm full_blind, and no other full prefill, are made under")

    def test_without_a_pattern_there_is_none_of_it(self, keystone_results: Path):
        record: RunRecord
        (record,) = load_records(keystone_results)
        assert "isolated_edit_equals_prefill" not in {control.name for control in record.controls}
        assert not any("pattern" in remark for remark in record.remarks)


class TestEditing:
    def test_of_an_exact_edit_nothing_is_asked_and_its_decision_is_that_of_a_prefill(self):
        loaded, mine = patterned(), scene()
        world = default_scenarios()
        source = SceneSource(
            tuple(world.choose(["documents"])), world, None, loaded.tokenizer, 0, 1, True, None
        )
        asked = ask_every_kind(loaded, mine, source, "tagged").kinds
        assert set(asked) >= {"gating", "bystander"}
        for one in (asked["gating"], asked["bystander"]):
            assert (one.said, one.needed, one.tokens, one.milliseconds) == (False, False, 0, 0.0)
            assert one.field_only.margin_error < EQUAL
        plain = ask_every_kind(tiny("llama"), mine, source, "tagged").kinds["gating"]
        assert plain.tokens > 0
        assert plain.field_only.margin_error > EQUAL

    def test_under_a_pattern_the_frontier_has_the_edit_whose_decision_reads_the_field_back(self):
        loaded, mine = patterned(), scene()
        world = default_scenarios()
        source = SceneSource(
            tuple(world.choose(["documents"])), world, None, loaded.tokenizer, 0, 1, True, None
        )
        asked: dict[str, Any] = {"methods": ("field_only",)}
        named = EditingSettings.model_validate({"model": loaded.config, **asked})
        pairs = source.ranking_cases(mine.style)
        scores = [score_attention(Engine(loaded), case) for case in pairs]
        found = edit_every_way(loaded, mine, source, learn_attention(pairs, scores)[mine.family], named)
        assert list(found.methods) == list(named.frontier_methods) == ["field_only", "read_back"]
        read = found.methods["read_back"]
        assert read.tokens == 1  # under the model's own pattern the rule is run again
        assert read.tokens < found.methods["field_only"].tokens
        assert not read.question_kept
        isolated = open_context(loaded, mine, pattern="isolated")
        edited = isolated.edit(mine.task.field, mine.task.new, "field_only").reading_back(mine.task.field)
        assert read.decision.margin == pytest.approx(edited.decide(mine.actions).margin, abs=EQUAL)
        plain = EditingSettings.model_validate({"model": "tiny-llama", **asked})
        assert plain.frontier_methods == plain.methods

    def test_an_edit_that_is_no_prefill_stops_the_run(self):
        told: list[str] = []

        def control(name: str, value: float, expected: float, tolerance: float, _: str) -> None:
            if abs(value - expected) > tolerance:
                told.append(name)

        session: Any = SimpleNamespace(control=control, tolerance=tolerance_of("float32").for_logits_of(4.0))
        for error in (1e-6, 0.1):
            decision = SimpleNamespace(decision=SimpleNamespace(margin_error=error))
            found: Any = [SimpleNamespace(methods={"field_only": decision}), SimpleNamespace(methods={})]
            measure._check_isolated(session, found)
        assert told == ["isolated_edit_equals_prefill"]


class TestKeystone:
    def test_edits_of_composed_caches_are_exact_as_well_and_a_stale_link_is_not(
        self, monkeypatch: pytest.MonkeyPatch
    ):
        loaded, mine = patterned(), scene()
        versions = Versions.of(loaded, mine)
        old, new = (composed(loaded, state, EDITED) for state in (versions.old, versions.new))
        assert old.cache.layout is not None
        assert (len(old.cache.layout.blind), len(old.cache.layout.links)) == (1, 1)

        def apart() -> float:
            edited = old.edit(mine.task.field, mine.task.new, "field_only")
            return float((edited.logits() - new.logits()).abs().max())

        assert apart() < EQUAL
        monkeypatch.setattr(AttentionLayout, "read_by", lambda *_: [])
        assert apart() > OTHER

    @pytest.mark.parametrize("cut", CUTS)
    def test_a_composed_cache_is_a_prefill_under_its_layout(self, cut: str):
        loaded = patterned()
        state = Versions.of(loaded, scene()).old
        made = composed(loaded, state, CUTS[cut])
        whole = Runner.of(loaded.model).prefill(state.ids, made.cache.layout).cache
        pairs = zip((*made.cache.keys, *made.cache.values), (*whole.keys, *whole.values), strict=True)
        assert max(float((one - other).abs().max()) for one, other in pairs) < EQUAL


class TestComposing:
    def test_a_splice_is_the_prefill_in_which_chunks_are_blind(self, monkeypatch: pytest.MonkeyPatch):
        settings = compose("composing", *runs.COMPOSING)
        assert isinstance(settings, ComposingSettings)
        loaded = tiny("llama")
        runner, family = Runner.of(loaded.model), default_scenarios().choose(["documents"])[0]
        scenes = [
            build_scene(name, family, 0, loaded.tokenizer, settings) for name in ("rule_after_field", "all")
        ]
        assert measure_checks(runner, loaded.tokenizer, scenes, blind=True).blind < EQUAL
        assert measure_checks(runner, loaded.tokenizer, scenes).blind == 0.0
        prompt = SplicedPrompt(runner, loaded.tokenizer, scenes[0].case.clean.ids, scenes[0].spans, {})
        assert FULL_BLIND not in prompt.arms(Arms((1,)), prompt.ids)
        arms = prompt.arms(Arms((1,), blind=True), prompt.ids)
        apart = prompt.decide(arms[FULL_BLIND]()) - prompt.decide(arms[TRANSPLANT]())
        assert float(apart.abs().max()) < EQUAL
        monkeypatch.setattr(AttentionLayout, "hidden", see_everything)
        assert measure_checks(runner, loaded.tokenizer, scenes, blind=True).blind > OTHER


class TestAgent:
    @staticmethod
    def run(*, late: bool) -> EpisodeRun:
        settings = compose("agent", *runs.last(*runs.AGENT, "seam=0", "both_layouts=1", PATTERN))
        assert isinstance(settings, AgentSettings)
        loaded = tiny("llama")
        one = build_cases(settings, loaded.tokenizer).all[0]
        style = style_of(settings, field_late=late)
        return run_arms(Runner.of(loaded.model), loaded.tokenizer, one, style, settings)

    @pytest.mark.parametrize("late", [False, True])
    def test_a_refreshed_field_and_a_spliced_policy_are_exact(self, late: bool):
        checks = self.run(late=late).checks
        for name in ("field_only_equals_full", "blind_splice_equals_prefill", "prefix_cache_equals_full",
                     "stale_equals_full", "splice_in_place"):  # fmt: skip
            assert getattr(checks, name) < EQUAL, name

    def test_a_link_that_is_not_run_again_is_found(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(loop, "own_and_links", lambda _, own: own)
        found = self.run(late=False).checks.field_only_equals_full
        assert found is not None
        assert found > OTHER

    def test_a_policy_that_is_not_blind_is_found(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(AttentionLayout, "hidden", see_everything)
        found = self.run(late=False).checks.blind_splice_equals_prefill
        assert found is not None
        assert found > OTHER


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("agent", ("seam=2",), "there is no seam to repair"),
        ("serving", (), "servers that know no attention pattern"),
    ],
)
def test_what_does_not_go_with_a_pattern_is_refused(
    name: str, arguments: tuple[str, ...], words: str
) -> None:
    with pytest.raises(Exception, match=words):
        compose(name, "model=tiny-llama", PATTERN, *arguments)
