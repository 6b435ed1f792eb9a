"""All words of the scenarios as text, for the tokenizer of the tiny random models."""

from pkv_interp.prompts.errata import UPDATES
from pkv_interp.tasks.layouts import CUE
from pkv_interp.tasks.scenarios import default_scenarios


def corpus() -> list[str]:
    """Every text that a prompt can be made of, once per family and wording, in a fixed order."""
    known = default_scenarios()
    texts = [
        *known.fillers,
        known.tools,
        CUE,
        "Session Policy Tools Answer with one word, this or that.",
        "desk: north south west shift: early late night language: English Dutch Spanish "
        "channel: mail phone chat",
        "system user assistant model",
    ]
    for family in known.families:
        texts.extend((family.role, family.request))
        for value in family.values:
            texts.append(f"{family.field}: {value} {family.actions[0]} {family.actions[1]}")
            for rule in known.rules.values():
                texts.append(
                    rule.format(
                        field=family.field, trigger=value, act=family.actions[0], other=family.actions[1]
                    )
                )
            texts.extend(u.format(field=family.field, value=value) for u in UPDATES.values())
    return texts
