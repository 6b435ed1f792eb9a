"""Can notes be moved? A piece of a prompt is prefilled once, alone, turned to its place and spliced in.

Field pairs whose policy, session or tool block is a chunk; the splice's decision is compared with that of a
full prefill, on both field values. Agreement counts only where the full prefill is right on both: elsewhere
an arm that ignores the prompt would agree as well. Source of the questions: arXiv 2606.17107, composing.
"""
