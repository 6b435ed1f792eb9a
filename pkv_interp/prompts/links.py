"""Link tokens: plain words after a rule that read an isolated field, and are run again when it changes."""

#: The word that a link is written with; after any text a token of its own in the embedded models.
LINK = " =>"


def link_text(number: int) -> str:
    """The text of so many links, one after the other."""
    return LINK * number
