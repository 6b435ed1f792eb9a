"""Paths as users write them (T11)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from experiments.circuit.settings import CircuitSettings
from pkv_interp import records
from pkv_interp.composing import ChunkLibrary
from pkv_interp.errors import PkvError
from pkv_interp.models.adapter import find_adapter
from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.run.settings import checked

NOBODY = "~nobody-of-this-name/x"
TAKERS: dict[str, Callable[[], Any]] = {
    "a folder of weights": lambda: load_catalogue_entry("local", path=NOBODY),
    "a file of weights": lambda: load_catalogue_entry("gguf", path=NOBODY),
    "an adapter": lambda: find_adapter(NOBODY),
    "a library of chunks": lambda: ChunkLibrary(NOBODY),
    "results to read": lambda: records.load(NOBODY),
    "results to write": lambda: checked(CircuitSettings, {"results_dir": NOBODY}),
    "scenarios": lambda: checked(CircuitSettings, {"scenarios": NOBODY}),
    "pairs": lambda: checked(CircuitSettings, {"pairs": NOBODY}),
}


@pytest.mark.parametrize("what", TAKERS)
def test_the_home_of_nobody_is_one_line_wherever_a_path_is_taken(what: str) -> None:
    with pytest.raises(PkvError, match="names a user who is not known here") as raised:
        TAKERS[what]()
    assert "\n" not in str(raised.value)
