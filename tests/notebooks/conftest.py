"""The kernel that the tests of all notebooks share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.notebooks.executing import Kernel


@pytest.fixture(scope="session")
def kernel() -> Iterator[Kernel]:
    """Started with the first notebook that a worker runs in it, ended with the session."""
    made = Kernel()
    yield made
    made.close()
