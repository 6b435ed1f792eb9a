"""Does a long history, prefilled session by session and spliced, answer questions as a full prefill does?

The conversations and questions are those of LoCoMo (ACL 2024), which are no part of this package; a record
holds ids, counts and scores of them, and no text. Source of the comparison: arXiv 2606.17107, memory.
"""
