"""A live explorer: the reader's own prompt, its notes, heads, edits and chunks, patched in the browser.

It is a command and no experiment: it measures what is asked in the page, and writes no record by itself.
"""
