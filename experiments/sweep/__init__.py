"""What a sweep found: an experiment's headlines over the models that were swept, as a table and as a figure.

No model is loaded and nothing is measured: records are read, and nothing else.
"""
