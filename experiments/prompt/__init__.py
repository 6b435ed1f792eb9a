"""One prompt, patched everywhere and edited in every way: an example to look at, and no evidence.

Two prompts differ in a field's value. The decision on the one reads keys and values of the other at every
position, at every pair of positions, in every layer, and gets every head's output; then the field is edited
by each method. The companion site shows the record, so that its words can be clicked without a model.
"""
