"""What a run would take, told from a model's configuration: memory by part and time by stage, no weights."""

from pkv_interp.planning.memory import Memory, memory_of
from pkv_interp.planning.shape import Shape, shape_of
from pkv_interp.planning.stages import Sizes, StageWork, circuit_stages
from pkv_interp.planning.throughput import Throughput, measured_throughput
from pkv_interp.planning.work import Work, decode_work, prefill_work

__all__ = [
    "Memory",
    "Shape",
    "Sizes",
    "StageWork",
    "Throughput",
    "Work",
    "circuit_stages",
    "decode_work",
    "measured_throughput",
    "memory_of",
    "prefill_work",
    "shape_of",
]
