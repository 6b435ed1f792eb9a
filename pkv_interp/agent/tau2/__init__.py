"""An agent in tau2-bench's own retail and airline environments: their policies, databases and tools.

`package` is the one place that knows the package, which is optional; records, prompts and caches are plain.
"""
