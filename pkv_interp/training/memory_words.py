"""Words of the lessons on memories: lists of settings, and rules about one or two of them.

None of the settings, categories, notes and rules is one of the evaluation of memories; a test says so.
"""

#: What a setting is about, and what of it; every name is one of each.
THINGS: tuple[str, ...] = (
    "phone",
    "laptop",
    "watch",
    "heater",
    "lamp",
    "window",
    "freezer",
    "cooker",
    "gate",
    "bell",
    "modem",
    "screen",
    "mower",
    "pump",
    "desk",
    "van",
    "cabin",
    "shop",
    "store",
    "folder",
    "letter",
    "camera",
    "printer",
    "archive",
    "garage",
    "fountain",
    "tractor",
    "drone",
    "robot",
)
PARTS: tuple[str, ...] = (
    "sync",
    "timer",
    "lock",
    "filter",
    "log",
    "sound",
    "light",
    "backup",
    "sharing",
    "tracking",
    "sleep mode",
    "night mode",
    "fast start",
    "fan",
    "signal",
    "menu",
    "search",
    "history",
    "roaming",
    "charging",
    "cleaning",
    "sorting",
    "locking",
    "alerts",
    "greeting",
)
CATEGORIES: tuple[str, ...] = ("home", "work", "travel", "family", "health", "media", "money", "sport")
NOTES: tuple[str, ...] = (
    "set in May",
    "set by the owner",
    "since Monday",
    "from the first day",
    "changed last year",
    "default",
    "after the move",
    "by phone",
)
TITLES: tuple[str, ...] = ("Preferences", "Options", "User profile", "Saved options:", "# Settings", "List")
#: How a setting stands in its line: ``c`` category, ``n`` name, ``v`` value, ``o`` note.
LINES: tuple[str, ...] = (
    "- [{c}] {n}: {v} ({o})",
    "- [{c}] {n}: {v} ({o})",
    "- {n}: {v}",
    "* {n} = {v} ({o})",
    "[{c}] {n} is {v}",
)
#: Pairs of values: what a rule asks for, and the other one.
VALUES: tuple[tuple[str, str], ...] = (
    *(("enabled", "disabled"),) * 6,
    ("on", "off"),
    ("active", "idle"),
    ("open", "closed"),
    ("true", "false"),
    ("high", "low"),
    ("full", "empty"),
)
#: Questions about the value of a setting itself, and what their answers begin with: ``s`` the setting.
LOOKUPS: tuple[str, ...] = (
    "What is {s}?",
    "How does {s} stand?",
    "Give the value of {s}.",
    "Look up {s} in the list.",
)
LOOKUP_CUES: tuple[str, ...] = ("Answer:", "Result:", "{s}:", "{s} =", "The {s} is")
#: Rules about one setting: ``s`` the setting, ``v`` its value, ``a`` and ``b`` the answers.
ONE: tuple[str, ...] = (
    "When {s} is {v}, answer {a}; else answer {b}.",
    "{a} if {s} is {v}, {b} otherwise.",
    "With {s} {v} it is {a}. In all other cases it is {b}.",
    "Is {s} {v}? Then {a}. Otherwise {b}.",
    "Answer {b} as long as {s} is not {v}, and {a} once it is.",
    "The answer depends on {s}: {v} means {a}, anything else means {b}.",
)
#: Rules about two settings, ``s`` and ``t``.
TWO: tuple[str, ...] = (
    "When both {s} and {t} are {v}, answer {a}; else answer {b}.",
    "{a} if {s} is {v} and {t} is {v} too, {b} otherwise.",
    "With {s} and {t} both {v} it is {a}. If one of them is not, it is {b}.",
    "Are {s} and {t} {v}? Then {a}. Should one of them differ: {b}.",
    "Answer {b} where {s} or {t} is not {v}, and {a} where both are.",
)
REQUESTS: tuple[str, ...] = (
    "Say {a} or {b}.",
    "One word only: {a} / {b}.",
    "Answer with {b} or {a}.",
    "What is it, {a} or {b}?",
    "Give the answer.",
)
CUES: tuple[str, ...] = ("Answer:", "Answer:", "Decision:", "Result:")
ROLES: tuple[str, ...] = (
    "You are a helpful AI assistant.",
    "You look after the options of a user.",
    "You answer from a list.",
    "You are a careful clerk.",
)
