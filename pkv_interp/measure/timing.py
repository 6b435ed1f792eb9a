"""Time and memory of a piece of work, on the clock that fits the device."""

import ctypes
import gc
import re
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")
_PROC = Path("/proc/self")


def seconds(work: Callable[[], T], device: torch.device) -> tuple[float, T]:
    """Run once and time it.

    On a CPU the process's own CPU time is read, which other programs on the machine do not lengthen; divide
    by the threads to compare with a wall clock. On a GPU it is wall time between synchronisations.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        begin = time.perf_counter()
        result = work()
        torch.cuda.synchronize(device)
        return time.perf_counter() - begin, result
    begin = time.process_time()
    result = work()
    return time.process_time() - begin, result


def matmul_seconds(multiply_adds: int, width: int, like: Tensor, most: int = 20_000_000_000) -> float:
    """Seconds that one plain matrix product of so many multiply-adds takes, on the clock of ``seconds``.

    Products of 1,024 vectors and a matrix four times as wide as they are, which caches hold well. Of more
    than ``most`` multiply-adds that many are run, and their time is scaled.

    Args:
        multiply_adds: how many.
        width: of a vector.
        like: a tensor of the dtype and device.
        most: multiply-adds that are run at most.
    """
    left, right = (torch.ones(shape).to(like) for shape in ((1024, width), (width, 4 * width)))
    each = 1024 * width * 4 * width
    runs = max(1, min(multiply_adds, most) // each)
    torch.mm(left, right)  # first use allocates and chooses a kernel

    def work() -> None:
        for _ in range(runs):
            torch.mm(left, right)

    took, _ = seconds(work, like.device)
    return took * multiply_adds / (runs * each)


def peak_megabytes(work: Callable[[], object], device: torch.device) -> float:
    """Memory that the work takes at its peak over what was held before it, in MiB.

    On a GPU the allocator's figure; on Linux the resident set's high-water mark, reset first; elsewhere the
    growth of the process's lifetime maximum, which is a lower bound.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    if (_PROC / "clear_refs").exists():
        _return_freed_memory()
        (_PROC / "clear_refs").write_text("5")
        before_kb = _status("VmRSS")
        work()
        return max(_status("VmHWM") - before_kb, 0) / 2**10
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 2**10


def _return_freed_memory() -> None:
    """Give what earlier work freed back to the system; the next work would reuse it and seem to need less."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, other C libraries do not
    if trim is not None:
        trim(0)


def _status(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", (_PROC / "status").read_text(), re.MULTILINE)
    return int(found.group(1)) if found else 0
