"""What the machine at hand allows, which no setting knows by itself."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pkv_interp.errors import PkvError

#: Threads per core from which more can only wait for one another.
_MOST_PER_CORE = 4


def check_threads(threads: int | None) -> None:
    """Refuse more threads than the machine could serve: torch would hang, not fail.

    Raises:
        PkvError: there are too many.
    """
    cores = os.cpu_count() or 1
    most = max(8, _MOST_PER_CORE * cores)
    if threads is not None and threads > most:
        raise PkvError(
            f"threads={threads}, but this machine has {cores} cores", f"use at most {most}, best {cores}"
        )


@contextmanager
def using_threads(threads: int | None) -> Iterator[None]:
    """Torch with that many threads, and with as many as before afterwards; None leaves them as they are.

    Raises:
        PkvError: there are more than the machine could serve.
    """
    check_threads(threads)
    if threads is None:
        yield
        return
    import torch  # takes seconds, and whoever comes here will need it anyway

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
