"""How fast are the packed engine and the edits of a cache?

Patches packed into one forward against one cache edit and one forward each, with the plain forward that
packing cannot beat beside them; whole grids of positions and their memory; edits of a cache against a full
re-prefill, by the length of the prompt and by the tokens that an erratum adds. Its figures are about time and
memory and not about a mechanism, so it has no competence gate.
"""
