"""Which cached keys and values carry a decision whose field has changed?

Field pairs: the rule stays, the field flips (clean = the new value's prompt, corrupt = the stale one).
Positions are ranked on some instances of a family and scored on others, found again by their anchors, never
ranked on the scored instance. Source of the questions: arXiv 2606.17107, patching; protocol and fixes are in
docs/methods.md.
"""
