"""What would count as an answer, written before the first run.

For the second, "reads the field itself" is taken as more than half of the recovery; a reader between the two
answers neither way.

The claims of prompts with the field after the rule were written later: after readers of Qwen2.5-Coder-0.5B
had been seen to decide there from the field's own tokens, and before a pair with the field late and the
trigger flipped was measured on any model. Such a pair tells whether these tokens hold the value alone, which
is the same in both prompts, or what the rule makes of it.
"""

from pkv_interp.run.claims import EQUIVALENCE_FLOOR, Criterion

#: A reader alone finds what the untouched model wrote after the field.
NOTES_BEFORE = "usable notes exist in the untrained model"
#: A reader alone decides, and takes the value from the field.
FIELD_READ = "usable notes do not exist in the untrained model: the reader reads the field"
#: No reader can decide over untouched caches; a writer can teach the prefill what the untouched model reads.
TRAINED_IN = "notes are trained in: only the writer works"
#: With the field after the rule, its tokens say what follows from it, and not only what it is.
NOTE_AT_FIELD = "with the field after the rule, the field's own tokens hold a usable note"
#: With the field after the rule, the decision token itself compares field and rule.
COMPARED = "with the field after the rule, the reader compares field and trigger itself"

_READER_DECIDES = (("reader_accuracy_match", 0.8), ("reader_accuracy_mismatch", 0.8))
_LATE_DECIDES = (("late_reader_accuracy_match", 0.8), ("late_reader_accuracy_mismatch", 0.8))
CRITERIA: tuple[Criterion, ...] = (
    *(Criterion(NOTES_BEFORE, figure, "over", at) for figure, at in _READER_DECIDES),
    Criterion(NOTES_BEFORE, "reader_field_only", "under", EQUIVALENCE_FLOOR),
    Criterion(NOTES_BEFORE, "reader_notes_only", "over", 0.9),
    *(Criterion(FIELD_READ, figure, "over", at) for figure, at in _READER_DECIDES),
    Criterion(FIELD_READ, "reader_field_only", "over", 0.5),
    Criterion(TRAINED_IN, "writer_accuracy_match", "over", 0.8),
    Criterion(TRAINED_IN, "writer_accuracy_mismatch", "over", 0.8),
    Criterion(TRAINED_IN, "reader_accuracy", "under", 0.8),
    *(Criterion(NOTE_AT_FIELD, figure, "over", at) for figure, at in _LATE_DECIDES),
    Criterion(NOTE_AT_FIELD, "late_reader_field_tokens", "over", 0.9),
    Criterion(NOTE_AT_FIELD, "late_reader_trigger_only", "under", EQUIVALENCE_FLOOR),
    *(Criterion(COMPARED, figure, "over", at) for figure, at in _LATE_DECIDES),
    Criterion(COMPARED, "late_reader_trigger_only", "over", 0.5),
)
