"""Records of one experiment on several models, told by their file names."""

import re

#: Where the name of a model begins in a file name; what stands before it names the experiment.
_MODEL = re.compile(r"(qwen|gemma|llama|mistral|falcon|smollm|ds(r1|v2|coder))", re.IGNORECASE)


def group_of(record: str) -> str:
    """The experiment that a record is of: its file's name up to the name of a model."""
    stem = record.rpartition("/")[2].removesuffix(".json")
    words = stem.split("_")
    before = next((words[:i] for i, word in enumerate(words) if i and _MODEL.match(word)), words)
    return "_".join(before)
