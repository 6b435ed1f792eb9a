"""Draw figures from records, and from nothing else: no model is loaded and nothing is measured.

Each record of an experiment that has figures gives a folder of interactive HTML pages (they work offline,
through the plotly.min.js beside them) and, where a browser is installed, PNG pictures of the same.
"""
