"""Training wordings of events: a field gets a value. None of the erratum wordings is among them.

They are of every style that errata are written in (a bare value, a tagged line, a correction, the order to
forget, news, a notice), in other words.
"""

UPDATES: tuple[str, ...] = (
    "Update: {f} is now {v}.",
    "The {f} has changed to {v}.",
    "{f} changed to {v}.",
    "New {f}: {v}.",
    "Correction: {f} is {v}.",
    "Please note that the {f} is {v} now.",
    "Since then the {f} became {v}.",
    "The system reports {f} {v} at this moment.",
    "Change of {f}: now {v}.",
    "A minute ago the {f} was set to {v}.",
    "The {f} was updated and now reads {v}.",
    "Latest {f} is {v}.",
    "From now on the {f} is {v}.",
    "An operator set {f} to {v}.",
    "The record was edited: {f} is {v}.",
    "We got word that the {f} is {v}.",
    "event: {f} set to {v}",
    "Actually, the {f} is {v}.",
    "The {f} you saw is wrong; the true one is {v}.",
    "Fix: {f} should be {v}.",
    "User: by the way, the {f} is {v} now.",
    "{f} -> {v} (just changed)",
    "Refresh: the {f} reads {v}.",
    "By the time you read this, the {f} is {v}.",
    "Status change, {f} went to {v}.",
    "Use {v} as the {f} from here.",
    "The newest entry for {f} says {v}.",
    "{f} switched over to {v}.",
    "There is a newer value for the {f}: {v}.",
    "After the change the {f} stands at {v}.",
    "log: {f} <- {v}",
    "Now {f} is {v}, no longer what it was.",
    "The {f} is not the same as before: {v}.",
    "[NEW] {f}: {v}",
    "[UPDATE] {f} := {v}",
    "<change> {f} is {v}",
    "{f} = {v}",
    "{f} - {v}",
    "(now) {f}: {v}",
    "The {f} listed earlier no longer holds. The right one is {v}.",
    "What was said about the {f} is wrong by now: take {v}.",
    "Amendment: read {v} for the {f}, not what stands there.",
    "The old entry for {f} has lapsed. {v} replaces it.",
    "Forget the {f} you were given. Take {v} and decide afresh.",
    "The first {f} does not count any more; go by {v} and choose once more.",
    "Ignore what was said before about the {f}. With {v} in its place, answer anew.",
    "A colleague told us that the {f} went over to {v}.",
    "We heard this minute that the {f} is {v} by now.",
    "It turns out that the {f} is {v}.",
    "Announcement: the {f} stands at {v} as of this hour.",
    "Memo: {f} goes to {v}, valid at once.",
    "To all: the {f} has been put to {v}.",
    "Sensor reading, {f}: {v}.",
    '{{"event": "set", "name": "{f}", "to": "{v}"}}',
    "set {f} {v}",
)

BACK: tuple[str, ...] = (
    "The {f} is {v} again.",
    "The {f} went back to {v}.",
    "Scrap that: the {f} is {v} after all.",
    "{f} is back at {v}.",
    "The last change was undone, so the {f} reads {v} once more.",
    "That was a slip. {f}: {v}, as at first.",
    "Back to {v} for the {f}.",
)

NEAR_FIELDS: tuple[str, ...] = (
    "{f} limit",
    "backup {f}",
    "{f} code",
    "second {f}",
    "{f} history",
    "default {f}",
    "requested {f}",
    "{f} of the neighbour",
    "{f} source",
    "average {f}",
)

LOG_HEADINGS: tuple[str, ...] = ("Events", "Log", "Changes since", "What happened next:", "## News", "")
REPLIES: tuple[str, ...] = ("OK.", "Noted.", "Thanks, I have it.", "Read.", "All right.", "I see.")
