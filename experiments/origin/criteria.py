"""What would count as an answer, written before the first run.

For the second, "reads the field itself" is taken as more than half of the recovery; a reader between the two
answers neither way.
"""

from pkv_interp.run.claims import Criterion

#: A reader alone finds what the untouched model wrote after the field.
NOTES_BEFORE = "usable notes exist in the untrained model"
#: A reader alone decides, and takes the value from the field.
FIELD_READ = "usable notes do not exist in the untrained model: the reader reads the field"
#: No reader can decide over untouched caches; a writer can teach the prefill what the untouched model reads.
TRAINED_IN = "notes are trained in: only the writer works"

_READER_DECIDES = (("reader_accuracy_match", 0.8), ("reader_accuracy_mismatch", 0.8))
CRITERIA: tuple[Criterion, ...] = (
    *(Criterion(NOTES_BEFORE, figure, "over", at) for figure, at in _READER_DECIDES),
    Criterion(NOTES_BEFORE, "reader_field_only", "under", 0.1),
    Criterion(NOTES_BEFORE, "reader_notes_only", "over", 0.9),
    *(Criterion(FIELD_READ, figure, "over", at) for figure, at in _READER_DECIDES),
    Criterion(FIELD_READ, "reader_field_only", "over", 0.5),
    Criterion(TRAINED_IN, "writer_accuracy_match", "over", 0.8),
    Criterion(TRAINED_IN, "writer_accuracy_mismatch", "over", 0.8),
    Criterion(TRAINED_IN, "reader_accuracy", "under", 0.8),
)
