"""Training wordings of rules, updates, fillers and documents; none of the evaluation wordings is among them.

Rules take ``f`` (field), ``t`` (trigger), ``a`` (action when the field equals the trigger), ``b`` (action
when it does not). Listings also take ``u``, the field's other possible value.
"""

RULES: tuple[str, ...] = (
    "If {f} is {t}, then {a}. If not, {b}.", "When the {f} is {t}, {a}; else {b}.",
    "{a} if the {f} is {t}, else {b}.", "Rule: {f} {t} -> {a}, anything else -> {b}.",
    "For {f} = {t} do {a}. For other values do {b}.", "Do {b} unless the {f} is {t}; then {a}.",
    "Unless {f} equals {t}, {b}. When it does, {a}.",
    "You must {a} when {f} is {t} and must {b} when it is not.",
    "A {f} of {t} means {a}. Any other {f} means {b}.", "We {a} items with {f} {t}. We {b} the others.",
    "In case the {f} reads {t}: {a}. In all other cases: {b}.", "Is the {f} {t}? Then {a}. Otherwise, {b}.",
    "Check the {f}. With {t} the step is {a}, without it the step is {b}.",
    "Provided that the {f} is {t}, {a}. Failing that, {b}.",
    "As long as the {f} is {t} you {a}, or else you {b}.",
    "Only a {f} of {t} lets you {a}; with any other one you {b}.", "{f} == \"{t}\" ? {a} : {b}",
    "if {f} == '{t}': {a}()\nelse: {b}()", "The action is {b} by default and {a} when the {f} is {t}.",
    "Records marked {t} under {f} go to {a}; the remaining ones go to {b}.",
    "Should the {f} be {t}, please {a}. Should it be anything else, please {b}.",
    "Where the {f} says {t}, staff {a}. Where it says something different, staff {b}.",
    "Suppose the {f} is {t}: the answer is {a}. Suppose it is not: the answer is {b}.",
    "{t} in the {f} line asks for {a}; no {t} there asks for {b}.",
    "Normally {b}. With {f} {t}, {a} instead.",
    "It is correct to {a} if and only if the {f} is {t}; it is correct to {b} in the opposite case.",
    "Items are handled by {f}: {t} gets {a}, all other values get {b}.",
    "Please {b} everything except items whose {f} is {t}, which you {a}.",
    "Once the {f} is {t} the team will {a}, and until then it will {b}.",
    "The {f} decides. {t} leads to {a}. Everything else leads to {b}.",
    "We {b} when the {f} differs from {t} and {a} when it matches.",
    "Not {t} in {f}: {b}. {t} in {f}: {a}.", "If the {f} is not {t}, {b}; if it is, {a}.",
    "Given {f} {t}, {a} is required, whereas {b} is required for the rest.",
    "Staff may {a} a request with {f} {t}. All others they {b}.",
    "Every case with {t} as its {f} should see {a}, and each of the others {b}.",
    "See the {f} first: {a} for {t}, {b} for whatever else.",
    "To {a} you need a {f} of {t}. If that is not given, {b}.",
    "Either the {f} is {t} and you {a}, or it is not and you {b}.",
    "| {f} | action |\n| {t} | {a} |\n| other | {b} |",
    "Cases: {f} {t} = {a}; default = {b}.", "No {a} without {f} {t}. Use {b} in that event.",
    "{b} is the standard answer; the exception is {f} {t}, where it is {a}.",
    "{a}: {f} must be {t}. {b}: all remaining cases.",
)

LISTINGS: tuple[str, ...] = (
    "If the {f} is {t}, {a}. If the {f} is {u}, {b}.", "{t}: {a}\n{u}: {b}",
    "For {f} {t}, {a}. For {u}, {b}.",
    "{f} {t} means {a} and {f} {u} means {b}.", "With {t} we {a}; with {u} we {b}.",
    "- {f} {t} -> {a}\n- {f} {u} -> {b}", "When {t} is the {f}, {a}; when {u} is, {b}.",
    "The action is {a} for {t} and {b} for {u}.", "{a} goes with {f} {t}, {b} goes with {f} {u}.",
)

UPDATES: tuple[str, ...] = (
    "Update: {f} is now {v}.", "The {f} has changed to {v}.", "{f} changed to {v}.",
    "New {f}: {v}.", "Correction: {f} is {v}.", "Please note that the {f} is {v} now.",
    "Since then the {f} became {v}.", "The system reports {f} {v} at this moment.", "Change of {f}: now {v}.",
    "A minute ago the {f} was set to {v}.", "The {f} was updated and now reads {v}.",
    "Latest {f} is {v}.", "From now on the {f} is {v}.", "An operator set {f} to {v}.",
    "The record was edited: {f} is {v}.", "We got word that the {f} is {v}.", "event: {f} set to {v}",
    "Actually, the {f} is {v}.", "The {f} you saw is wrong; the true one is {v}.", "Fix: {f} should be {v}.",
    "User: by the way, the {f} is {v} now.", "{f} -> {v} (just changed)", "Refresh: the {f} reads {v}.",
    "By the time you read this, the {f} is {v}.", "Status change, {f} went to {v}.",
    "Use {v} as the {f} from here.", "The newest entry for {f} says {v}.", "{f} switched over to {v}.",
    "There is a newer value for the {f}: {v}.", "After the change the {f} stands at {v}.",
    "log: {f} <- {v}", "Now {f} is {v}, no longer what it was.", "The {f} is not the same as before: {v}.",
)

HEADINGS: tuple[str, ...] = (
    "Policy", "Rules", "Instructions", "Section 4. Decisions", "# Guide", "Handbook, page 7", "How we work",
    "House rules:", "POLICY DOCUMENT", "",
)
SESSION_HEADINGS: tuple[str, ...] = (
    "Session", "Context", "State", "SESSION CONTEXT", "Facts:", "Record", "# Data", "",
)

_PLACES = ("hall", "office", "kitchen", "garage", "library", "lab", "yard", "lobby", "archive", "cellar")
_DAYS = ("Monday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_THINGS = ("table", "window", "printer", "camera", "van", "cabinet", "ladder", "clock", "screen", "heater")
_PEOPLE = ("Anna", "Ben", "Carla", "David", "Emma", "Farid", "Grace", "Hugo", "Ines", "Jonas")
FILLERS: tuple[str, ...] = (
    "The {thing} in the {place} is cleaned on {day}.", "{person} keeps the list for the {place}.",
    "Room {n} has a new {thing}.", "Nobody uses the {place} on {day}.",
    "{person} works with {other} on {day}.",
    "Notes about the {thing} are kept for {n} months.", "The {place} opens at {n} o'clock.",
    "Ask {person} when the {thing} does not work.", "There are {n} chairs in the {place}.",
    "Reports are written on {day} and read by {person}.", "A {thing} costs about {n} dollars.",
    "Please leave the {place} as you found it.", "The {thing} next to the {place} belongs to {person}.",
    "Meetings in the {place} take {n} minutes.", "On {day} the {place} is painted.",
    "{person} wrote this page; {other} checked it.", "The code of the {place} has {n} digits.",
    "Every {thing} has a number between 1 and {n}.", "Lunch is served in the {place} until {n}.",
    "We thank {person} for the {thing}.",
)
FILLER_SLOTS: dict[str, tuple[str, ...]] = {
    "place": _PLACES, "day": _DAYS, "thing": _THINGS, "person": _PEOPLE, "other": _PEOPLE,
    "n": tuple(str(i) for i in range(2, 90)),
}
