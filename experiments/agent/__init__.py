"""An agent whose policy is composed once and whose state is edited: does it act as one that re-reads all?

Episodes of several turns in domains whose state changes on the way. Tools enforce the state: an action that
was right before a change is refused after it, and success is what the tools say. The policy is spliced in
from a chunk that was prefilled by itself; at a change the field is computed again in place and an erratum is
appended; all else is kept from turn to turn. Source of the question: arXiv 2606.17107, the unified agent.
There the right word always comes first in the menu, right actions are written into the history and the state
is stated again beside the decision; here menus are balanced, histories are each arm's own, and a change is
announced by a single erratum.
"""
