"""Make records anew from their measurements: no model is loaded, and nothing is measured."""
