"""The editing frontier: what does it take to change a field in a prefilled prompt, and what does it cost?

Every method edits a real cache through the public editing API; field pairs name the positions, and sites are
ranked on other instances than those scored. Source of the questions: arXiv 2606.17107, editing; protocol and
fixes are in docs/methods.md.
"""
