"""Measurements: on pairs of prompts in terms of the engine, on edits in terms of editing states."""
