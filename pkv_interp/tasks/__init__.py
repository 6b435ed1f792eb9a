"""Scenario prompts whose every span is known: families, cases, readout."""

from pkv_interp.prompts.segments import Message, Prompt, Segment, build
from pkv_interp.tasks.cases import Case, Style, field_case, polarity_case
from pkv_interp.tasks.families import BY_NAME, DISCOVERY, FAMILIES, HELD_OUT, families, split_of
from pkv_interp.tasks.recipes import Instance, Recipe, Update
from pkv_interp.tasks.scenarios import Family, Scenarios, default_scenarios

__all__ = [
    "BY_NAME",
    "DISCOVERY",
    "FAMILIES",
    "HELD_OUT",
    "Case",
    "Family",
    "Instance",
    "Message",
    "Prompt",
    "Recipe",
    "Scenarios",
    "Segment",
    "Style",
    "Update",
    "build",
    "default_scenarios",
    "families",
    "field_case",
    "polarity_case",
    "split_of",
]
