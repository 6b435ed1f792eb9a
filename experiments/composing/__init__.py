"""Can notes be moved? A piece of a prompt is prefilled once, alone, turned to its place and spliced in.

Field pairs whose policy, session or tool block is a chunk; the splice's decision is held against that of a
full prefill, on both field values. Agreement is counted where the full prefill is right on both: elsewhere an
arm that never looks at the prompt would agree as well. Source of the questions: arXiv 2606.17107, composing.
"""
