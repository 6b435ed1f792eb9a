"""The figures that a run is known by; of a model that is not there they are withheld, with the reason."""

from collections.abc import Mapping

from experiments.programmable.measure import Measured
from experiments.programmable.settings import GATE, PROGRAMMABLE, READER
from experiments.programmable.tables import WithheldLine
from pkv_interp.run.report import FREE, NOT_NEGATIVE, SHARE, Bounds, Headline
from pkv_interp.stats import Estimate

#: Headlines by role: name, figure, what it is, bounds; ``fillers`` are those of the shortest prompts.
_OF_ROLE: dict[str, tuple[tuple[str, str, str, Bounds], ...]] = {
    PROGRAMMABLE: (
        (
            "field_only_isolated",
            "field_only_isolated_{fillers}",
            "right after an isolated field's edit",
            SHARE,
        ),
        ("full_isolated", "full_isolated_{fillers}", "right after a prefill under isolation", SHARE),
        ("rule_linked", "rule_linked_{fillers}", "right, isolated field and its rule run again", SHARE),
        (
            "read_isolated",
            "read_field_only_isolated_{fillers}",
            "right after an isolated field's edit, its value read back first",
            SHARE,
        ),
        (
            "read_field_only",
            "read_field_only_{fillers}",
            "right after a plain field's own KV alone is new, its value read back first",
            SHARE,
        ),
        ("read_full", "read_full_{fillers}", "right after a plain prefill, its value read back first", SHARE),
        (
            "read_splice_blind",
            "read_splice_blind_{fillers}",
            "right with a blind policy spliced in, the field read back first",
            SHARE,
        ),
        ("splice_blind", "splice_blind_{fillers}", "right with a blind policy spliced in", SHARE),
        ("full_blind", "full_blind_{fillers}", "right after a prefill with a blind policy", SHARE),
        ("bystander_flips", "bystander_flips_{fillers}", "decisions turned by another isolated field", SHARE),
        ("drift_28", "drift_28", "margin's distance from a prefill after 28 edits", NOT_NEGATIVE),
        ("chat_loss_ratio", "chat_loss_ratio", "chat loss over the gate's", NOT_NEGATIVE),
        ("notes_only_programmable", "notes_only", "KV after the field alone, plain prompts", FREE),
        ("circuit_jaccard_gate_programmable", "jaccard", "read heads shared with the gate", SHARE),
    ),
    READER: (
        ("reader_field_only", "field_only_{fillers}", "right after the field's own KV alone is new", SHARE),
    ),
    GATE: (
        ("gate_full", "full_{fillers}", "the gate, right after a plain prefill", SHARE),
        ("gate_field_only", "field_only_{fillers}", "the gate, plain field refreshed alone", SHARE),
        (
            "gate_field_only_isolated",
            "field_only_isolated_{fillers}",
            "the gate, isolated field edited",
            SHARE,
        ),
        (
            "gate_rule_linked",
            "rule_linked_{fillers}",
            "the gate, isolated field and its rule run again",
            SHARE,
        ),
        ("gate_splice_blind", "splice_blind_{fillers}", "the gate, blind policy spliced in", SHARE),
        ("gate_full_blind", "full_blind_{fillers}", "the gate, prefill with a blind policy", SHARE),
        (
            "gate_bystander_flips",
            "bystander_flips_{fillers}",
            "the gate, turned by another isolated field",
            SHARE,
        ),
        ("gate_drift_28", "drift_28", "the gate, margin's distance after 28 edits", NOT_NEGATIVE),
    ),
}
#: Headlines that say nothing of a mechanism or a decision.
_FREE = frozenset({"chat_loss_ratio"})


def headlines(
    found: Measured, figures: Mapping[str, Mapping[str, Estimate]], latency: Estimate
) -> tuple[list[Headline], list[WithheldLine]]:
    """Those that are stated, and those that are withheld.

    Args:
        found: says which adapters are not there.
        figures: by role and name.
        latency: a full prefill's time over that of an isolated edit, both a mean over all edits.
    """
    stated = [
        Headline(
            "edit_latency_ratio",
            latency,
            "time of a full prefill over an isolated edit's, means over all edits",
            needs_gate=False,
            bounds=NOT_NEGATIVE,
        )
    ]
    withheld: list[WithheldLine] = []
    fillers = found.roles[GATE].edits[0].fillers  # short ones come first
    for role, told in _OF_ROLE.items():
        for name, figure, what, bounds in told:
            value = figures.get(role, {}).get(figure.format(fillers=fillers))
            if value is not None:
                stated.append(Headline(name, value, what, name not in _FREE, bounds))
                continue
            gone = role in found.absent
            withheld.append(
                WithheldLine(
                    name, f"no {role} adapter was given" if gone else "it was not measured at these sizes"
                )
            )
    return stated, withheld
