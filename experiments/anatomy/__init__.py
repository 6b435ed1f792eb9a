"""Is a note an address or content?

Field pairs: the rule stays, the field flips (clean = the match's prompt, corrupt = the mismatch's). Keys and
values of the notes are put in apart, by what their tokens are and by depth; donors with other action words at
the same places say whether a decision follows the place or the word; knockouts of single paths of the prefill
say which of them carries the conclusion; and the read heads are patched in their pattern apart from their
values. What each outcome means is in docs/methods.md.
"""
