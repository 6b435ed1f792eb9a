"""Rule and filler wordings of the packaged scenarios as constants. Training never sees one of them."""

from pkv_interp.tasks.scenarios import default_scenarios

RULES: dict[str, str] = default_scenarios().rules
FILLERS: tuple[str, ...] = default_scenarios().fillers
PLANTED: str = default_scenarios().planted
TOOLS: str = default_scenarios().tools
