"""What the figures of the blast radius experiment share."""

import pandas as pd

from pkv_interp.plots.theme import BLUE, GREY, ORANGE

#: Name and colour of a class of fields.
CLASS_NAMES = {
    "low": ("low: nothing depends on it", GREY),
    "medium": ("medium: one soft rule", ORANGE),
    "high": ("high: a rule decides on it", BLUE),
}
#: Families of both splits: nothing is ranked on some to be scored on others.
EVALUATION = "evaluation"
ABOVE = {"orientation": "h", "y": 1.06, "yanchor": "bottom", "x": 0, "font": {"size": 12}}


def classes_of(frame: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Names and colours of the classes that a table has; own pairs are all of one."""
    return {name: look for name, look in CLASS_NAMES.items() if name in set(frame["field_class"])}
