"""Words of personas and questions.

Names and categories share no word with a field, a value, an action or a setting of any training; tests say
so. One, "mentions", stands in a neutral sentence of the gate's prompts.
"""

#: What a setting is about, and which part of it: every setting is named by one of each.
THINGS: tuple[str, ...] = (
    "calendar",
    "inbox",
    "thermostat",
    "browser",
    "keyboard",
    "microphone",
    "fridge",
    "kettle",
    "doorbell",
    "headset",
    "tablet",
    "router",
    "sprinkler",
    "vacuum",
    "projector",
    "speaker",
    "newsletter",
    "wallet",
    "gallery",
    "notebook",
    "podcast",
    "recipe",
    "playlist",
    "forum",
    "chatbot",
    "dashboard",
    "spreadsheet",
    "invoice",
    "ledger",
    "dictionary",
    "radio",
    "curtain",
    "fireplace",
    "balcony",
    "terrace",
    "aquarium",
    "greenhouse",
    "bicycle",
    "scooter",
    "elevator",
    "telescope",
    "piano",
    "treadmill",
    "mirror",
)
FEATURES: tuple[str, ...] = (
    "reminders",
    "shortcuts",
    "subtitles",
    "previews",
    "badges",
    "bookmarks",
    "captions",
    "tooltips",
    "vibration",
    "encryption",
    "autofill",
    "spellcheck",
    "autosave",
    "thumbnails",
    "timestamps",
    "watermarks",
    "cookies",
    "popups",
    "animations",
    "gestures",
    "widgets",
    "wallpaper",
    "ringtone",
    "voicemail",
    "hotspot",
    "screensaver",
    "highlights",
    "summaries",
    "statistics",
    "suggestions",
    "recommendations",
    "discounts",
    "coupons",
    "donations",
    "subscriptions",
    "mentions",
    "receipts",
    "handwriting",
    "narration",
    "diagnostics",
)
CATEGORIES: tuple[str, ...] = (
    "household",
    "errands",
    "leisure",
    "hobbies",
    "commute",
    "studio",
    "garden",
    "wellbeing",
)
NOTES: tuple[str, ...] = (
    "chosen in March",
    "since last autumn",
    "as suggested",
    "by the assistant",
    "asked for twice",
    "from the setup",
    "for the holidays",
    "on every screen",
)
#: The two values of a setting: on, off.
VALUES: tuple[str, str] = ("enabled", "disabled")
#: The two answers: all settings of the question are on, one of them is off.
ANSWERS: tuple[str, str] = ("yes", "no")

SYSTEM = "You are a personal assistant who knows the settings of the person you work for."
TITLE = "Settings of this person"
HEADING = "What was said today"
#: Turns of a conversation in which nothing is said about any setting.
TURNS: tuple[tuple[str, str], ...] = (
    ("Which museum is nice with two small kids?", "The one by the harbour has a hands-on hall."),
    ("How long do lentils cook?", "Red ones take a quarter of an hour, brown ones twice as long."),
    ("Who wrote the song from yesterday?", "It is a folk tune; nobody knows who wrote it."),
    ("Is the bridge to the island closed?", "It is being painted and stays usable on foot."),
    ("What rhymes with orange?", "Nothing quite does, though sporange comes near."),
    ("Can I grow basil indoors?", "Yes, near a window, with water every other day."),
    ("How far is it to the lighthouse?", "About seven kilometres along the shore."),
    ("Why do cats purr?", "Mostly when they are content, sometimes to soothe themselves."),
    ("What goes with roast pumpkin?", "Sage, brown butter and a handful of walnuts."),
    ("When does the choir rehearse?", "Thursdays at seven, in the old town hall."),
    ("How do I get wax out of linen?", "Lay paper over it and iron at low warmth."),
    ("Who founded the observatory?", "A clockmaker, with money from her brothers."),
)

#: How a rule names its settings ({all}), by name; the first is used wherever none is asked for. ``{is}`` is
#: "is" for one setting and "are all" for more, ``{on}`` the value.
RULES: dict[str, str] = {
    "if": "If {all} {is} {on}, the reply is yes. If not, the reply is no.",
    "only": "The reply is yes only where {all} {is} {on}; anything else makes it no.",
    "needs": "This needs {all} to be {on}: then say yes, and no in every other event.",
    "unless": "Say no, unless {all} {is} {on}, in which event say yes.",
    "check": "Look up {all}. Say yes where the value {is} {on}, and no where it is not.",
}
ASK_DIRECT = "Reply with one word, yes or no."
ASK_REASONED = (
    "Write down the value of each setting that matters, then what follows from it. "
    "End with a line FINAL: yes or FINAL: no."
)
CUE = "Answer:"
#: The last line of a chain of thought that gives the answer.
FINAL = "FINAL:"

#: Lines of the cross-referential question. The definition says which setting another name follows.
ALIASES: tuple[str, ...] = (
    "bedtime routine",
    "brunch preset",
    "movie bundle",
    "picnic bundle",
    "holiday preset",
    "focus hour",
)
DEFINITION = "- [definitions] {alias} follows the value of: "
REFERRED = "the setting that {alias} follows"
