"""Measurements on pairs of prompts, in terms of the engine and nothing below it."""
