"""Can notes be edited after they were moved? A field inside a transplanted chunk, edited by every method.

The chunk holds the field and the rule that reads it; it is precompiled alone, turned and spliced. Each edit
is made on that cache (composed) and on a full prefill of the same text (recomputed); methods that prefill a
text anew are measured on the latter only. Then the blocks are cut into chunks in three ways, to see what is
lost when facts that refer to one another are precompiled apart. Source of the questions: arXiv 2606.17107,
editing inside transplants.
"""
