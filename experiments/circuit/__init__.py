"""Which heads, MLPs and positions carry the field-conditioned decision?

Polarity pairs: the field stays byte for byte, the rule's trigger flips, so only the conclusion differs (clean
= the first action, corrupt = the other); or field pairs, whose field flips. Sites are ranked on discovery
families and scored on held-out ones.
Source of the questions: arXiv 2606.17107, circuit appendix; protocol and fixes are in docs/methods.md.
"""
