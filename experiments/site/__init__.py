"""The companion site: a story over the records, the docs, the notebooks with outputs, a prompt to click.

Everything is made from ``results/``, ``docs/`` and ``notebooks/``; no model is loaded, unless notebooks that
load one are asked for. The pages need no server and no network: they work from a folder.
"""
