"""The arms that change prompts alone, asked of a server in this process; no package is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from experiments import find
from experiments.tau2.arms import run_visit
from experiments.tau2.served import Server, decided, run_served_visit
from experiments.tau2.settings import Tau2Settings
from experiments.tau2.splicing import Chunks
from experiments.tau2.turns import VisitRun
from pkv_interp.agent.tau2.keeping import PROMPT_ARMS
from pkv_interp.agent.tau2.package import Domain
from pkv_interp.cache.compute import Runner
from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.models.served import UNSEEN, served_model
from tests.agent.tau2.test_visits import visit
from tests.experiments.test_tau2_arms import Shop, Town
from tests.families import tiny
from tests.serving.fake import FakeServer

NAMES = [arm.name for arm in PROMPT_ARMS]


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeServer]:
    """A server that runs the tiny model."""
    loaded = tiny("llama")
    runner, made = Runner.of(loaded.model), FakeServer(tmp_path)

    def says(ids: Sequence[int], _: str | None) -> np.ndarray:
        return torch.log_softmax(runner.prefill(tuple(ids)).logits.double(), -1).numpy()

    made.says = says
    made.words = [str(loaded.tokenizer.decode([one])) for one in range(len(loaded.tokenizer))]
    yield made
    made.close()


def served(fake: FakeServer, engine: str = "vllm") -> VisitRun:
    settings = Tau2Settings.model_validate({"url": fake.url, "engine": engine})
    with Server(fake.url, engine) as server:
        town = cast(Domain, Town(Shop()))
        return run_served_visit(server, tiny("llama").tokenizer, visit(), town, settings)


def test_a_server_is_asked_what_a_cache_of_ours_is_and_keeps_prefixes_itself(fake: FakeServer) -> None:
    loaded = tiny("llama")
    chunks = Chunks(Runner.of(loaded.model), loaded.tokenizer, Tau2Settings())
    ours = run_visit(chunks, visit(), cast(Domain, Town(Shop())), Tau2Settings(), in_place=False)
    with pytest.MonkeyPatch.context() as patch:
        # It tells all of its tokens, so that both actions are always among them.
        patch.setattr("pkv_interp.serving.client.TOP", len(fake.words))
        found = served(fake)
    assert list(found.arms) == NAMES
    assert found.about == ours.about
    assert found.before.margin == pytest.approx(ours.before.margin, abs=1e-3)
    for name in NAMES:
        mine, theirs = ours.arms[name], found.arms[name]
        np.testing.assert_array_equal(theirs.action, mine.action)
        np.testing.assert_allclose(theirs.margin, mine.margin, atol=1e-3)
        np.testing.assert_array_equal(theirs.length, mine.length)
        # At the first turn histories are alike.
        assert theirs.tokens[0] == mine.tokens[0], name
        assert theirs.opening == mine.opening, name
    assert found.checks.prefix_cache_equals_full == pytest.approx(0.0, abs=1e-6)
    assert (found.checks.stale_fails, found.checks.right_succeeds) == (1.0, 1.0)


def test_sessions_are_apart_and_full_uses_nothing_that_was_read(fake: FakeServer) -> None:
    found = served(fake)
    assert list(found.arms["full"].tokens) == list(found.arms["full"].length)
    assert all(found.arms[name].tokens[0] < found.arms[name].length[0] for name in NAMES[1:])
    salts = [body["cache_salt"] for body in fake.sent]
    # The full arm has one for each of its two turns, the others one each, and so has the first state.
    assert len(set(salts)) == 2 + (len(NAMES) - 1) + 1


def test_where_no_log_probabilities_are_told_the_first_token_decides(fake: FakeServer) -> None:
    fake.silent = True
    found = served(fake)
    assert found.checks.prefix_cache_equals_full is None
    assert {float(abs(one)) for arm in found.arms.values() for one in arm.margin} <= {0.0, 1.0}
    for arm in found.arms.values():
        assert [action == -1 for action in arm.action] == [margin == 0.0 for margin in arm.margin]
        assert not any(arm.accepted[arm.action == -1])


def test_a_lying_prefix_cache_is_seen_in_the_check(fake: FakeServer) -> None:
    honest, asked = fake.says, list[int]()

    def says(ids: Sequence[int], name: str | None) -> np.ndarray:
        asked.append(1)
        # Two of full, one that is read, and then the first of the prefix cache: as after one token more.
        return honest((*ids, 5) if len(asked) == 4 else ids, name)

    fake.says = says
    assert (served(fake).checks.prefix_cache_equals_full or 0.0) > 1e-2


def test_servers_that_tell_too_little_are_refused_in_one_line(fake: FakeServer) -> None:
    fake.silent = fake.mute = True
    with pytest.raises(PkvError, match="neither log-probabilities nor a text"):
        served(fake)
    fake.silent = fake.mute = False
    answer = fake.answer
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fake, "answer", lambda body: (answer(body)[0], {}))
        with pytest.raises(PkvError, match="how many tokens it had cached; .*prompt-tokens-details"):
            served(fake)
        more = {"prompt_tokens": 7, "prompt_tokens_details": {"cached_tokens": 0}}
        patch.setattr(fake, "answer", lambda body: (answer(body)[0], more))
        with pytest.raises(PkvError, match="read 7 tokens of a prompt of"):
            served(fake)
    with pytest.raises(PkvError, match="tells no model"), Server("http://127.0.0.1:9", "vllm"):
        pass


@pytest.mark.parametrize(
    ("top", "said", "expected"),
    [
        ({3: -0.5, 4: -1.5, 9: -4.0}, "", (0, 1.0, True)),
        ({9: -0.1, 4: -1.5, 3: -2.5}, "", (1, -1.0, False)),
        # An action that is not told is at most as likely as the last that is.
        ({9: -0.1, 4: -1.5, 8: -3.5}, "", (1, -2.0, False)),
        ({9: -0.1, 8: -1.5, 3: -3.5}, "", (0, 0.0, False)),
        ({9: -0.1, 8: -1.5}, "w3", (None, 0.0, False)),
        ({}, " w4", (1, -1.0, True)),
        ({}, "w9", (None, 0.0, False)),
    ],
)
def test_what_was_decided_follows_from_what_is_told(
    top: dict[int, float], said: str, expected: tuple[int | None, float, bool]
) -> None:
    class Words:
        def decode(self, ids: list[int]) -> str:
            return f" w{ids[0]}"

    assert decided(top, said, (3, 4), Words()) == pytest.approx(expected)


def test_a_record_says_that_the_weights_were_not_seen() -> None:
    entry = load_catalogue_entry("tiny-llama")
    told = served_model(entry, tiny("llama").tokenizer, engine="vllm", dtype="bfloat16").info
    assert (told.name, told.weight_sha256, told.dtype) == ("tiny-llama", UNSEEN, "bfloat16")
    assert told.tokenizer_sha256 == tiny("llama").info.tokenizer_sha256


def test_withheld_arms_are_named() -> None:
    there = Tau2Settings.model_validate({"url": "http://here:1", "engine": "vllm"})
    assert there.remarks() == (
        "field_only, field_erratum and unified are withheld: the cache is the server's",
    )
    kept = Tau2Settings.model_validate({"url": "http://here:1", "engine": "llama"})
    assert len(kept.remarks()) == 2
    assert Tau2Settings().remarks() == ()


def test_a_run_at_a_url_loads_no_model_and_its_record_says_what_is_withheld(
    fake: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tau2", reason="the extra 'tau2' is not installed")
    monkeypatch.setattr("pkv_interp.run.session.load", lambda _: pytest.fail("a model was loaded"))
    sizes = {"domains": ["retail"], "records": 3, "loops": 1, "loop_turns": 2, "episodes": 1}
    record = find("tau2").run(
        model="tiny-llama", url=fake.url, engine="vllm", results_dir=tmp_path / "results", **sizes
    )
    assert record.subject == "tiny-llama@vllm"
    assert record.model["weight_sha256"] == UNSEEN
    assert any("unified are withheld" in one for one in record.remarks)
    assert {row.arm for row in record.rows} == set(NAMES)
    assert record.competence is not None
    assert not record.competence.passed
    assert "success_full" not in record.headline
    cheaper = {arm: record.headline[f"tokens_ratio_{arm}"].value for arm in NAMES[1:]}
    assert cheaper["stale"] > cheaper["prefix_cache"] > 1
    names = {one.name for one in record.controls}
    assert names == {
        "prefix_cache_equals_full",
        "stale_fails",
        "right_succeeds",
        "tools_tell_states",
        "unchanged_alike",
    }


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tau2", reason="the extra 'tau2' is not installed")
    monkeypatch.setattr("pkv_interp.run.session.load", lambda _: pytest.fail("a model was loaded"))
    there = {"url": "http://127.0.0.1:9", "engine": "vllm", "domains": ["retail"], "records": 1}
    with pytest.raises(PkvError, match="tells no model at /v1/models"):
        find("tau2").run(model="tiny-llama", results_dir=tmp_path / "results", **there)
