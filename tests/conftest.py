"""Fixtures of all tests: one seed, one thread, no hub."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

from pkv_interp.models.catalogue import load_catalogue_entry  # noqa: E402
from pkv_interp.models.load import LoadedModel, load  # noqa: E402
from tests import families, runs  # noqa: E402

torch.set_num_threads(1)  # two threads that share busy cores wait for each other


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
def circuit_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results folder with the record of one small circuit run on tiny-llama, made through its command line.

    Shared by the session: tests must leave it as it was.
    """
    results = tmp_path_factory.mktemp("circuit") / "results"
    done = runs.circuit(results)
    assert done.returncode == 0, done.stderr
    return results


@pytest.fixture(scope="session")
def blast_radius_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``circuit_results``, of one small blast radius run."""
    results = tmp_path_factory.mktemp("blast_radius") / "results"
    done = runs.blast_radius(results)
    assert done.returncode == 0, done.stderr
    return results


@pytest.fixture(scope="session")
def patching_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``circuit_results``, of one small patching run."""
    results = tmp_path_factory.mktemp("patching") / "results"
    done = runs.patching(results)
    assert done.returncode == 0, done.stderr
    return results


@pytest.fixture(scope="session")
def editing_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``circuit_results``, of one small editing run."""
    results = tmp_path_factory.mktemp("editing") / "results"
    done = runs.editing(results)
    assert done.returncode == 0, done.stderr
    return results


@pytest.fixture(scope="session")
def weight_edits_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``circuit_results``, of one small run of weight edits."""
    results = tmp_path_factory.mktemp("weight_edits") / "results"
    done = runs.weight_edits(results)
    assert done.returncode == 0, done.stderr
    return results


@pytest.fixture(scope="session")
def composing_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``circuit_results``, of one small composing run."""
    results = tmp_path_factory.mktemp("composing") / "results"
    done = runs.composing(results)
    assert done.returncode == 0, done.stderr
    return results


@pytest.fixture(scope="session")
def keystone_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``circuit_results``, of one small keystone run."""
    results = tmp_path_factory.mktemp("keystone") / "results"
    done = runs.keystone(results)
    assert done.returncode == 0, done.stderr
    return results


@pytest.fixture(scope="session")
def real_model() -> LoadedModel:
    """The default model (SmolLM2-135M-Instruct with the gate adapter); fetched and converted on first use."""
    return load(load_catalogue_entry("smollm2-135m-gate", device="cpu", dtype="float32"))
