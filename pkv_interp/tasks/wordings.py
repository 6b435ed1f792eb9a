"""Rule and filler wordings that evaluation uses. Training never sees one of them.

Templates are plain ``str.format`` strings. Rules take ``field``, ``trigger``, ``act`` (when the field equals
the trigger) and ``other`` (when it does not).
"""

#: Rules of the polarity pair: the trigger occurs once, so flipping it flips the conclusion and nothing else.
RULES: dict[str, str] = {
    "if_otherwise": "If the {field} is {trigger}, the right action is {act}; otherwise it is {other}.",
    "only_for": "Choose {act} only for records whose {field} is {trigger}, and {other} for all the rest.",
    "default_except": "The default is {other}, except that a {field} of {trigger} calls for {act}.",
    "whenever": "Whenever we see the {field} at {trigger} we {act}, and in every other situation we {other}.",
}

FILLERS: tuple[str, ...] = (
    "Staff write short and polite notes and never add private remarks to a record.",
    "Reports are stored for seven years in the archive on the second floor.",
    "All times are given in local time unless a line says something else.",
    "A manager looks at a random sample of the work at the end of each month.",
    "Holiday hours are printed on the last page of the handbook.",
    "Numbers are rounded to two places before they are copied to the ledger.",
    "The telephone at the front desk is answered within four rings.",
    "Please keep the common room tidy and bring cups back to the kitchen.",
    "New colleagues read this page on their first day and sign the list.",
    "Photographs are attached as separate files and named after the date.",
    "Questions about this page go to the office on the ground floor.",
    "Letters to partners use the blue paper with the printed head.",
    "Backups run every night and take about forty minutes to finish.",
    "The weekly meeting is on Tuesday and lasts no longer than an hour.",
    "Spelling follows the house style that was agreed on last spring.",
    "Visitors wear a badge and are met at the door by their host.",
    "Travel costs are claimed with the green form before the tenth day.",
    "The printer near the stairs is for drafts and the other for final copies.",
    "Keys are handed in at the desk and entered in the book each evening.",
    "Training videos can be watched at any time from the shared screen.",
    "Old forms are recycled once a quarter by the building service.",
    "Every message carries the name of the person who wrote it.",
    "Links to other pages are checked twice a year by the web team.",
    "The canteen menu for the week hangs beside the elevator.",
    "Chairs and desks can be adjusted and the nurse will help with that.",
    "The fire drill takes place twice a year without an earlier warning.",
    "Plants in the hall are cared for by the people on the first floor.",
    "Parking places are shared and nobody has a place of their own.",
    "A summary of changes is sent around on the first day of each quarter.",
    "Lost objects are kept in a box at the reception for three months.",
    "Room bookings end five minutes early so that the next group can set up.",
    "The wall calendar shows who is away and when they will be back.",
)

#: A conclusion drawn earlier, planted in the conversation; takes ``action``.
PLANTED: str = "Result of the check made earlier: {action}."

TOOLS: str = "lookup(record) returns the stored record; note(text) adds a remark."
