"""Scenario prompts whose every span is known: families, cases, readout."""

from pkv_interp.prompts.segments import Message, Prompt, Segment, build
from pkv_interp.tasks.cases import Case, Style, families, field_case, polarity_case
from pkv_interp.tasks.families import BY_NAME, DISCOVERY, FAMILIES, HELD_OUT, Family, split_of

__all__ = [
    "BY_NAME",
    "DISCOVERY",
    "FAMILIES",
    "HELD_OUT",
    "Case",
    "Family",
    "Message",
    "Prompt",
    "Segment",
    "Style",
    "build",
    "families",
    "field_case",
    "polarity_case",
    "split_of",
]
