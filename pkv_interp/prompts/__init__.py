"""Prompts whose every span is known: segments, rendering, readout, wordings of errata."""
