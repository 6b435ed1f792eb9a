"""Words of the gate's training data. Fields, values and actions are disjoint from every evaluation family."""

FIELDS: tuple[str, ...] = (
    "plan", "region", "mode", "season", "weather", "battery", "engine type", "door state", "risk score",
    "seat class", "member status", "tank level", "lamp colour", "network zone", "license", "contract kind",
    "payment method", "power source", "water quality", "air pressure", "track condition", "job priority",
    "user group", "room type", "device health", "signal strength", "belt speed", "crop stage", "tide",
    "pump state", "queue length", "meal type", "school grade", "blood type", "file format", "test outcome",
    "sample origin", "loan purpose", "parking zone", "ship flag", "wind direction", "backup state",
    "cabin crew", "paint finish", "oven heat", "lock state", "account age", "phase", "feature flag",
    "audit result", "vendor rating", "trust level", "language level", "fuel grade", "snow depth",
    "bid status",
    "shift lead", "valve position", "alarm state", "session kind", "access code", "profile", "quota",
    "origin",
    "driver rank", "wheel size", "thread state", "cache policy", "market trend", "exam round", "kiln stage",
)

VALUES: tuple[tuple[str, ...], ...] = (
    ("open", "closed", "locked"), ("active", "idle", "asleep"), ("north", "south", "east", "west"),
    ("blue", "white", "black", "orange"), ("new", "old", "worn"), ("fast", "slow", "steady"),
    ("paid", "owed", "waived"), ("online", "offline", "remote"), ("basic", "premium", "family"),
    ("summer", "winter", "spring"), ("sunny", "cloudy", "rainy"), ("hot", "cold", "warm"),
    ("high", "medium", "reduced"), ("empty", "loaded", "spare"), ("safe", "risky", "uncertain"),
    ("private", "shared", "guest"), ("local", "foreign", "global"), ("strong", "weak", "moderate"),
    ("early", "late", "timely"), ("diesel", "electric", "hybrid"), ("soft", "hard", "brittle"),
    ("clean", "dirty", "dusty"), ("approved", "draft", "rejected"), ("junior", "senior", "expert"),
    ("stable", "moving", "broken"), ("left", "right", "center"), ("small", "large", "huge"),
    ("morning", "evening", "night"), ("wood", "glass", "steel", "stone"), ("apple", "pear", "plum"),
    ("odd", "even", "prime"), ("ready", "busy", "away"), ("thin", "thick", "flat"), ("loud", "quiet", "mute"),
    ("mild", "severe", "acute"), ("solid", "liquid", "gas"), ("cash", "card", "cheque"),
    ("student", "teacher", "parent"), ("pass1", "pass2", "pass3"), ("alpha", "beta", "gamma"),
    ("frozen", "fresh", "canned"), ("signed", "blank", "torn"), ("lost", "found", "stored"),
    ("rural", "urban", "coastal"), ("rising", "falling", "level"), ("true", "false", "undefined"),
    ("enabled", "disabled", "paused"), ("adult", "child", "elder"), ("single", "double", "triple"),
    ("cotton", "wool", "silk"), ("rice", "corn", "wheat"), ("hourly", "daily", "weekly"),
    ("A", "B", "C"), ("1", "2", "3"), ("lion", "tiger", "bear"), ("trial", "lifetime", "monthly"),
    ("healthy", "sick", "recovering"), ("calm", "stormy", "windy"), ("bright", "dim", "dark"),
    ("direct", "indirect", "mixed"), ("manual", "automatic", "guided"), ("sealed", "leaking", "drained"),
)

ACTIONS: tuple[str, ...] = (
    "accept", "add", "adjust", "alert", "allow", "apply", "ask", "assign", "attach", "begin", "bill", "book",
    "build", "call", "charge", "check", "clean", "close", "collect", "connect", "confirm", "continue", "cook",
    "copy", "count", "cover", "cut", "delay", "delete", "deliver", "deploy", "detach", "divide", "double",
    "download", "draw", "drive", "drop", "email", "empty", "enter", "exit", "export", "fetch", "fix", "flag",
    "fly", "forward", "freeze", "grant", "greet", "halt", "heat", "help", "hide", "hire", "import",
    "increase",
    "install", "invite", "join", "jump", "label", "launch", "leave", "lend", "lift", "load", "lock", "lower",
    "mail", "mark", "measure", "merge", "move", "notify", "open", "order", "paint", "park", "pause",
    "plan", "plant", "play", "post", "press", "print", "proceed", "pull", "push", "raise", "read", "record",
    "reduce", "repair", "repeat", "replace", "reply", "report", "reset", "restart", "restore", "resume",
    "retry", "ring", "run", "save", "scan", "seal", "search", "sell", "send", "ship", "shut", "sign",
    "silence",
    "sleep", "slow", "sort", "split", "start", "store", "submit", "suspend", "switch", "test", "ticket",
    "trade", "transfer", "translate", "turn", "update", "upgrade", "upload", "verify", "visit", "warn",
    "wash",
    "weigh", "wipe", "withdraw", "write", "yes", "no", "left", "right", "alpha", "beta", "stay", "go",
)

ROLES: tuple[str, ...] = (
    "You are an assistant that follows the policy.", "You are a careful clerk.", "You run the control room.",
    "You are a helpful AI assistant.", "You operate a machine and obey the rules below.",
    "You decide what happens to each request.", "You are the night operator.",
    "You assist a team of planners.",
    "You are an agent with access to tools.", "You manage incoming cases for a service company.",
    "Act as the dispatcher.", "You are the automated front desk of a workshop.",
    "You review items one at a time.", "You are a software agent. Follow the document.",
    "You serve travellers at a station.", "You look after a fleet of robots.",
)

REQUESTS: tuple[str, ...] = (
    "Item {id} needs a decision.", "What should happen with case {id}?", "A new request came in: {id}.",
    "Please handle {id} now.", "User: can you take care of {id}?", "The next entry in the list is {id}.",
    "Someone asks about {id} at the counter.", "{id} is waiting.", "We must act on {id} today.",
    "Process record {id}.", "The caller mentions number {id}.", "Unit {id} has reported in.",
    "Here is the job: {id}.", "There is a message about {id}.", "",
)

QUESTIONS: tuple[str, ...] = (
    "Reply with {x} or {y}.", "Which is it: {x} or {y}?", "Say {x} or {y}.", "One word only: {x} / {y}.",
    "Options: {x}, {y}.", "Give the action.", "What do you do?", "What is the correct next step?",
    "State the action in one word.", "Follow the policy and name the action, {x} or {y}.",
    "Decide between {x} and {y}.", "Respond with a single word.",
)

OPEN_QUESTIONS: tuple[str, ...] = tuple(q for q in QUESTIONS if "{" not in q)

CUES: tuple[str, ...] = (
    "Action:", "Decision:", "Next step:", "Answer:", "tool_call:", "Result:", "I choose to",
)

FIELD_FORMS: tuple[str, ...] = (
    "{field}: {value}", "{field}: {value}", "{field}: {value}", "{field} = {value}", "- {field}: {value}",
    "The {field} is {value}.", "{field} is {value}", "\"{field}\": \"{value}\"", "Current {field}: {value}",
    "Its {field} is listed as {value}.", "* {field} -> {value}", "<{field}>{value}</{field}>",
    "As of today, the {field} is {value}.", "We see {value} as the {field}.",
)
