"""Does it work where caches are of other kinds, or where there is none to edit?

On ``model=tiny-table`` every tiny architecture is tried: each operation of the suite must be exact against a
re-encode, or be refused with its reason. On any model four prompts are read whole, with no cache edited: the
new value in its place (full), the old value with a line about the new one after it (erratum), the value moved
to the end (hoisted) and the old value alone (stale). So models with a recurrent state take part. Source of
the questions: arXiv 2606.17107, reach.
"""
