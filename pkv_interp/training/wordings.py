"""Training wordings of all but fields, values and actions; none of the evaluation wordings is among them.

Rules take ``f`` (field), ``t`` (trigger), ``a`` (action when the field equals the trigger), ``b`` (action
when it does not). Listings also take ``u``, the field's other possible value.
"""

RULES: tuple[str, ...] = (
    "If {f} is {t}, then {a}. If not, {b}.",
    "When the {f} is {t}, {a}; else {b}.",
    "{a} if the {f} is {t}, else {b}.",
    "Rule: {f} {t} -> {a}, anything else -> {b}.",
    "For {f} = {t} do {a}. For other values do {b}.",
    "Do {b} unless the {f} is {t}; then {a}.",
    "Unless {f} equals {t}, {b}. When it does, {a}.",
    "You must {a} when {f} is {t} and must {b} when it is not.",
    "A {f} of {t} means {a}. Any other {f} means {b}.",
    "We {a} items with {f} {t}. We {b} the others.",
    "In case the {f} reads {t}: {a}. In all other cases: {b}.",
    "Is the {f} {t}? Then {a}. Otherwise, {b}.",
    "Check the {f}. With {t} the step is {a}, without it the step is {b}.",
    "Provided that the {f} is {t}, {a}. Failing that, {b}.",
    "As long as the {f} is {t} you {a}, or else you {b}.",
    "Only a {f} of {t} lets you {a}; with any other one you {b}.",
    '{f} == "{t}" ? {a} : {b}',
    "if {f} == '{t}': {a}()\nelse: {b}()",
    "The action is {b} by default and {a} when the {f} is {t}.",
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
    "Not {t} in {f}: {b}. {t} in {f}: {a}.",
    "If the {f} is not {t}, {b}; if it is, {a}.",
    "Given {f} {t}, {a} is required, whereas {b} is required for the rest.",
    "Staff may {a} a request with {f} {t}. All others they {b}.",
    "Every case with {t} as its {f} should see {a}, and each of the others {b}.",
    "See the {f} first: {a} for {t}, {b} for whatever else.",
    "To {a} you need a {f} of {t}. If that is not given, {b}.",
    "Either the {f} is {t} and you {a}, or it is not and you {b}.",
    "| {f} | action |\n| {t} | {a} |\n| other | {b} |",
    "Cases: {f} {t} = {a}; default = {b}.",
    "No {a} without {f} {t}. Use {b} in that event.",
    "{b} is the standard answer; the exception is {f} {t}, where it is {a}.",
    "{a}: {f} must be {t}. {b}: all remaining cases.",
)

LISTINGS: tuple[str, ...] = (
    "If the {f} is {t}, {a}. If the {f} is {u}, {b}.",
    "{t}: {a}\n{u}: {b}",
    "For {f} {t}, {a}. For {u}, {b}.",
    "{f} {t} means {a} and {f} {u} means {b}.",
    "With {t} we {a}; with {u} we {b}.",
    "- {f} {t} -> {a}\n- {f} {u} -> {b}",
    "When {t} is the {f}, {a}; when {u} is, {b}.",
    "The action is {a} for {t} and {b} for {u}.",
    "{a} goes with {f} {t}, {b} goes with {f} {u}.",
)

SECTION_MARKS: tuple[str, ...] = ("Section {n}", "## Part {n}", "{n}.", "Chapter {n}:", "[{n}]")
BLOCK_JOINTS: tuple[str, ...] = ("\n", "\n\n\n", "\n---\n", "\n\n***\n\n", "\n\n", "\n====\n")
TOOLS: tuple[str, ...] = (
    "Tools\nlookup(id), send(text)",
    "Functions: find(id), tell(person, text)",
    "# Tools\n- open_page(number)\n- count(list)",
    "You can call search(words) and wait(minutes).",
)

HEADINGS: tuple[str, ...] = (
    "Policy",
    "Rules",
    "Instructions",
    "Section 4. Decisions",
    "# Guide",
    "Handbook, page 7",
    "How we work",
    "What to do when",
    "## Procedures",
    "Part B",
    "<policy>",
    "The manual says:",
    "House rules:",
    "POLICY DOCUMENT",
    "",
)
SESSION_HEADINGS: tuple[str, ...] = (
    "Session",
    "Context",
    "State",
    "SESSION CONTEXT",
    "Facts:",
    "Record",
    "Status sheet",
    "What we know",
    "[fields]",
    "Entry",
    "# Data",
    "",
)

_PLACES = ("hall", "office", "kitchen", "garage", "library", "lab", "yard", "lobby", "archive", "cellar")
_DAYS = ("Monday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_THINGS = ("table", "window", "printer", "camera", "van", "cabinet", "ladder", "clock", "screen", "heater")
_PEOPLE = ("Anna", "Ben", "Carla", "David", "Emma", "Farid", "Grace", "Hugo", "Ines", "Jonas")
FILLERS: tuple[str, ...] = (
    "The {thing} in the {place} is cleaned on {day}.",
    "{person} keeps the list for the {place}.",
    "Room {n} has a new {thing}.",
    "Nobody uses the {place} on {day}.",
    "{person} works with {other} on {day}.",
    "Notes about the {thing} are kept for {n} months.",
    "The {place} opens at {n} o'clock.",
    "Ask {person} when the {thing} does not work.",
    "There are {n} chairs in the {place}.",
    "Reports are written on {day} and read by {person}.",
    "A {thing} costs about {n} dollars.",
    "Please leave the {place} as you found it.",
    "The {thing} next to the {place} belongs to {person}.",
    "Meetings in the {place} take {n} minutes.",
    "On {day} the {place} is painted.",
    "{person} wrote this page; {other} checked it.",
    "The code of the {place} has {n} digits.",
    "Every {thing} has a number between 1 and {n}.",
    "Lunch is served in the {place} until {n}.",
    "We thank {person} for the {thing}.",
)
FILLER_SLOTS: dict[str, tuple[str, ...]] = {
    "place": _PLACES,
    "day": _DAYS,
    "thing": _THINGS,
    "person": _PEOPLE,
    "other": _PEOPLE,
    "n": tuple(str(i) for i in range(2, 90)),
}

ROLES: tuple[str, ...] = (
    "You are an assistant that follows the policy.",
    "You are a careful clerk.",
    "You run the control room.",
    "You are a helpful AI assistant.",
    "You operate a machine and obey the rules below.",
    "You decide what happens to each request.",
    "You are the night operator.",
    "You assist a team of planners.",
    "You are an agent with access to tools.",
    "You manage incoming cases for a service company.",
    "Act as the dispatcher.",
    "You are the automated front desk of a workshop.",
    "You review items one at a time.",
    "You are a software agent. Follow the document.",
    "You serve travellers at a station.",
    "You look after a fleet of robots.",
)

REQUESTS: tuple[str, ...] = (
    "Item {id} needs a decision.",
    "What should happen with case {id}?",
    "A new request came in: {id}.",
    "Please handle {id} now.",
    "User: can you take care of {id}?",
    "The next entry in the list is {id}.",
    "Someone asks about {id} at the counter.",
    "{id} is waiting.",
    "We must act on {id} today.",
    "Process record {id}.",
    "The caller mentions number {id}.",
    "Unit {id} has reported in.",
    "Here is the job: {id}.",
    "There is a message about {id}.",
    "",
)

QUESTIONS: tuple[str, ...] = (
    "Reply with {x} or {y}.",
    "Which is it: {x} or {y}?",
    "Say {x} or {y}.",
    "One word only: {x} / {y}.",
    "Options: {x}, {y}.",
    "Give the action.",
    "What do you do?",
    "What is the correct next step?",
    "State the action in one word.",
    "Follow the policy and name the action, {x} or {y}.",
    "Decide between {x} and {y}.",
    "Respond with a single word.",
)

OPEN_QUESTIONS: tuple[str, ...] = tuple(q for q in QUESTIONS if "{" not in q)

CUES: tuple[str, ...] = (
    "Action:",
    "Decision:",
    "Next step:",
    "Answer:",
    "tool_call:",
    "Result:",
    "I choose to",
)

FIELD_FORMS: tuple[str, ...] = (
    "{field}: {value}",
    "{field}: {value}",
    "{field}: {value}",
    "{field} = {value}",
    "- {field}: {value}",
    "The {field} is {value}.",
    "{field} is {value}",
    '"{field}": "{value}"',
    "Current {field}: {value}",
    "Its {field} is listed as {value}.",
    "* {field} -> {value}",
    "<{field}>{value}</{field}>",
    "As of today, the {field} is {value}.",
    "We see {value} as the {field}.",
    "[{field}] {value}",
    "{field}\n  {value}",
    "{value} ({field})",
    "{field} | {value}",
    "set {field} to {value}",
    "**{field}**: {value}",
    "{field}: '{value}',",
)
