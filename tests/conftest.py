"""Fixtures of all tests: one seed, one thread, no hub, few collections of garbage."""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from filelock import FileLock  # noqa: E402

from pkv_interp.models.catalogue import ModelConfig, load_catalogue_entry  # noqa: E402
from pkv_interp.models.load import LoadedModel, load, place  # noqa: E402
from pkv_interp.records.environment import git_state  # noqa: E402
from tests import families, runs  # noqa: E402
from tests.serving.llama_engine import installed  # noqa: E402

torch.set_num_threads(1)  # two threads that share busy cores wait for each other
# Looking for cycles walks every object that may be in one. At the thresholds that Python starts with, some
# hundreds of objects, that is a quarter of the suite's time.
gc.set_threshold(50_000, 20, 20)


#: What takes seconds to make is made once: files that use the same of it go to one worker. They are the
#: largest pieces, which workers get first.
TOGETHER = {
    "notebooks": ("tests/notebooks/",),  # one kernel, which imports torch
    "real model": (
        *("tests/test_readme.py", "tests/test_docs.py", "tests/editing/test_real_model.py"),
        *("tests/models/test_adapter.py", "tests/models/test_embedded_real.py"),
        *("tests/reference/test_real_model.py", "tests/reference/test_verify.py"),
        "tests/weight_editing/test_mutable.py",
    ),
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """As ``--dist loadfile`` does, but what stands in `TOGETHER` counts as one file."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Together(LoadFileScheduling):
        """Files that share something are one piece of work."""

        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return next((name for name, files in TOGETHER.items() if file.startswith(files)), file)

    return Together(config, log)


def pytest_collection_finish() -> None:
    """What importing and collecting made lives to the end: it is looked through once, and not again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _commit_read_once() -> Iterator[None]:
    """Every record names the commit, which takes three programs to find out: once for all of a session."""
    found = git_state()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pkv_interp.records.environment.git_state", lambda: found)
        yield


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """Every test starts from the same random state and leaves it as it was."""
    python, numpy, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    yield
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002
    torch.set_rng_state(torch_state)


@pytest.fixture(scope="session", params=families.FAMILIES)
def tiny(request: pytest.FixtureRequest) -> LoadedModel:
    """Each tiny family in turn, shared by the session."""
    return families.tiny(request.param)


@pytest.fixture(scope="session")
def small_results(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Results folder with the record of one small run of an experiment on tiny-llama, by its command line.

    Each is run once in a session, when it is first asked for, and all workers share it: tests must leave it
    as it was. Where it needs an engine that is not installed, the test is skipped.
    """
    base = tmp_path_factory.getbasetemp()
    # Not told by the environment: a session that a worker starts is none.
    shared = (base.parent if hasattr(request.config, "workerinput") else base) / "small"

    def of(experiment: str) -> Path:
        if experiment in runs.NEEDS:
            pytest.importorskip(runs.NEEDS[experiment], reason=f"the extra '{experiment}' is not installed")
        if experiment == "serving":
            installed()
        folder = shared / experiment
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            if not (folder / "made").exists():
                runs.small(experiment, folder / "results")
                (folder / "made").touch()
        return folder / "results"

    return of


@pytest.fixture(scope="session")
def circuit_results(small_results: Callable[[str], Path]) -> Path:
    """Results of the small circuit run."""
    return small_results("circuit")


@pytest.fixture(scope="session")
def blast_radius_results(small_results: Callable[[str], Path]) -> Path:
    """Results of the small blast radius run."""
    return small_results("blast_radius")


@pytest.fixture(scope="session")
def patching_results(small_results: Callable[[str], Path]) -> Path:
    """Results of the small patching run."""
    return small_results("patching")


@pytest.fixture(scope="session")
def editing_results(small_results: Callable[[str], Path]) -> Path:
    """Results of the small editing run."""
    return small_results("editing")


@pytest.fixture(scope="session")
def weight_edits_results(small_results: Callable[[str], Path]) -> Path:
    """Results of the small weight edits run."""
    return small_results("weight_edits")


@pytest.fixture(scope="session")
def composing_results(small_results: Callable[[str], Path]) -> Path:
    """Results of the small composing run."""
    return small_results("composing")


@pytest.fixture(scope="session")
def keystone_results(small_results: Callable[[str], Path]) -> Path:
    """Results of the small keystone run."""
    return small_results("keystone")


@pytest.fixture(scope="session")
def agent_results(small_results: Callable[[str], Path]) -> Path:
    """Results of the small agent run."""
    return small_results("agent")


@pytest.fixture(scope="session")
def tau2_results(small_results: Callable[[str], Path]) -> Path:
    """Results of the small run on tau2-bench; skipped where its extra is not installed."""
    return small_results("tau2")


@pytest.fixture(scope="session")
def controls_results(small_results: Callable[[str], Path]) -> Path:
    """Results of the small controls run."""
    return small_results("controls")


@pytest.fixture(scope="session")
def bench_results(small_results: Callable[[str], Path]) -> Path:
    """Results of the small bench run."""
    return small_results("bench")


@pytest.fixture(scope="session")
def load_once() -> Callable[[ModelConfig], LoadedModel]:
    """`load`, but a model that it has loaded before it gives again: no test changes the weights of one."""
    made: dict[tuple[str, str], LoadedModel] = {}

    def of(config: ModelConfig) -> LoadedModel:
        key = str(place(config)), config.model_dump_json(exclude={"device", "dtype"})
        if key not in made:
            made[key] = load(config)
        return made[key]

    return of


@pytest.fixture(scope="session")
def real_model(load_once: Callable[[ModelConfig], LoadedModel]) -> LoadedModel:
    """The default model (SmolLM2-135M-Instruct with the gate adapter); fetched and converted on first use."""
    return load_once(load_catalogue_entry("smollm2-135m-gate", device="cpu", dtype="float32"))


@pytest.fixture
def examples_load_once(
    monkeypatch: pytest.MonkeyPatch, load_once: Callable[[ModelConfig], LoadedModel]
) -> None:
    """What the texts show is run with `load_once` in the place of `load`: nearly all load the same model."""
    monkeypatch.setattr("pkv_interp.models.load.load", load_once)


@pytest.fixture
def session_loads_once(
    monkeypatch: pytest.MonkeyPatch, load_once: Callable[[ModelConfig], LoadedModel]
) -> None:
    """As `examples_load_once`, for what runs an experiment."""
    monkeypatch.setattr("pkv_interp.run.session.load", load_once)
