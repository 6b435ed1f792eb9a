"""The attention pattern that a model's prompts are prefilled under, where its catalogue entry names one."""

from collections.abc import Sequence

from pkv_interp.cache import AttentionLayout
from pkv_interp.names import Pattern
from pkv_interp.prompts.blocks import Span
from pkv_interp.prompts.segments import Prompt

#: Names of the pieces of a rule's statement.
RULE = ("rule", "trigger", "action_act", "action_other")


def rule_span(prompt: Prompt) -> Span | None:
    """Tokens of the rule's statement, half open; None in a prompt without one."""
    spans = [prompt.spans[name] for name in RULE if name in prompt.spans]
    return (min(start for start, _ in spans), max(stop for _, stop in spans)) if spans else None


def pattern_layout(
    prompt: Prompt, fields: Sequence[str], pattern: Pattern, end: int
) -> AttentionLayout | None:
    """Who sees whom in a prompt under a pattern; None where it has none of the fields.

    Args:
        prompt: rendered.
        fields: names of the spans that are isolated; those that the prompt lacks are passed over.
        pattern: "rule_linked" makes the rule a link where it stands after a field.
        end: where the last block begins.
    """
    known = [prompt.spans[name] for name in fields if name in prompt.spans]
    isolated = tuple(sorted(span for span in known if span[1] <= end))
    if not isolated:
        return None
    rule = rule_span(prompt) if pattern == "rule_linked" else None
    linked = rule is not None and isolated[0][1] <= rule[0] and rule[1] <= end
    return AttentionLayout(end, isolated=isolated, links=(rule,) if linked and rule else ())
