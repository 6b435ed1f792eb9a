"""The kernel that the tests of a notebook share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.notebooks.executing import Kernel


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """Started with the first notebook that a test file runs in it, ended with the file."""
    made = Kernel()
    yield made
    made.close()
