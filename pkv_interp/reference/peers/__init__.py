"""Other libraries that patch activations, asked for the same numbers: what the benchmark compares with.

Each peer is used as its own documentation uses it (the whole prompt again for every patch), and, where it can
be handed a cache, over the cached prefix as well. Import by name: every module loads its library.
"""
