"""A persona of settings in the cache: made once, spliced into conversations, edited when one changes.

Where it stands (E1), what splicing costs (E2), every way to change a setting (E3), blocks made apart (E4), an
agent over many turns (E5), lines that refer to one another, and edits inside a spliced memory. Source of the
questions: arXiv 2606.17107, memory.
"""
