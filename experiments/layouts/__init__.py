"""Which layout does a model follow?

Competence by layout, prose and code, on discovery families alone: the record by which a layout is chosen
before anything is scored on held-out ones. It tells nothing about a mechanism, so it has no competence gate.
"""
