"""Settings made in Python, and what a measurement may not read of them."""

import pytest
from pydantic import ValidationError

from experiments.circuit.settings import CircuitSettings
from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.run.settings import DEFAULT_MODEL


def test_a_model_may_be_named() -> None:
    assert CircuitSettings(model="tiny-llama").model == load_catalogue_entry("tiny-llama")  # pyright: ignore
    assert CircuitSettings().model == load_catalogue_entry(DEFAULT_MODEL)
    with pytest.raises(PkvError, match="unknown model 'tiny-lama'; did you mean tiny-llama"):
        CircuitSettings(model="tiny-lama")  # pyright: ignore


def test_a_measurement_cannot_read_what_only_the_summary_may() -> None:
    settings = CircuitSettings()
    measuring = settings.measuring()
    assert measuring.instances == settings.instances
    assert measuring.sizes == settings.sizes
    for name in ("bootstrap_draws", "competence_threshold"):
        assert getattr(settings, name) is not None
        with pytest.raises(AttributeError, match=name):
            getattr(measuring, name)


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(ValidationError, match="n_filers"):
        CircuitSettings(n_filers=1)  # pyright: ignore
