"""A program that repeats what the page shows, in terms of the library alone."""

from experiments.explore.chunks import Cut
from experiments.explore.edits import USUAL, options_of
from experiments.explore.explorer import Explorer, cut_of
from experiments.explore.marked import Field, pieces
from experiments.explore.notes import band
from experiments.explore.pair import Pair
from experiments.explore.state import Own, Scenario, State
from pkv_interp.models.catalogue import ModelConfig, catalogue_names, load_catalogue_entry

_HEAD = ("import torch", "from pkv_interp.engine import Engine", "from pkv_interp.models.load import load")


def snippet_of(explorer: Explorer, state: State, pair: Pair) -> str:
    """The program: the pair, and the view that is shown where it has something to repeat.

    Args:
        explorer: of the model.
        state: of the page.
        pair: of its prompt.
    """
    shown = {
        "notes": lambda: _notes(state, explorer.n_layers),
        "heads": lambda: _heads(state),
        "edit": lambda: _edit(state, pair),
        "compose": lambda: _compose(cut_of(state.compose, pair)),
        "prompt": lambda: ([], []),
        "export": lambda: _notes(state, explorer.n_layers),
    }
    source = state.source
    own = isinstance(source, Own)
    imports, lines = _own(explorer, source, pair) if own else _scenario(explorer, source)
    more_imports, more = shown[state.view]()
    needed, entry = _entry(explorer.loaded.config)
    every = {*_HEAD, needed, *imports, *more_imports}
    ordered = sorted(every, key=lambda line: (not line.startswith("import"), line))
    loaded = f"loaded = load({entry})"
    return "\n".join([*ordered, "", loaded, "tokenizer = loaded.tokenizer", *lines, *_pair(), *more, ""])


def _entry(config: ModelConfig) -> tuple[str, str]:
    """An import, and the model by its name; a folder or settings of one's own are told in full."""
    source = "from pkv_interp.models.catalogue import"
    if config.name in catalogue_names() and config == load_catalogue_entry(config.name):
        return f"{source} load_catalogue_entry", f"load_catalogue_entry({config.name!r})"
    told = config.model_dump(exclude_defaults=True)
    return f"{source} ModelConfig", f"ModelConfig({', '.join(f'{k}={v!r}' for k, v in told.items())})"


def _scenario(explorer: Explorer, source: Scenario) -> tuple[list[str], list[str]]:
    world, kind = explorer.settings.scenarios, "field_case" if source.flip == "field" else "polarity_case"
    imports = [f"from pkv_interp.tasks import Scenarios, Style, default_scenarios, {kind}"]
    made = "default_scenarios()" if world is None else f"Scenarios.load({world.name!r})"
    style = f"Style({source.fillers}, field_late={source.late}, thinking={explorer.maker.thinking})"
    wordings = None if source.wording is None else (source.wording,)
    if world is None:
        imports = [one.replace("Scenarios, Style", "Style") for one in imports]
    return imports, [
        f"scenarios = {made}",
        f"family = scenarios.by_name[{source.family!r}]",
        f"style = {style}",
        f"recipe = dict(seed={explorer.maker.seed}, style=style, wordings={wordings!r}, scenarios=scenarios)",
        f"case = {kind}(family, {source.index}, tokenizer, **recipe)",
        "clean, corrupt, actions, ids = case.clean, case.corrupt, case.actions, case.action_ids",
        "changed = case.change",
    ]


def _own(explorer: Explorer, source: Own, pair: Pair) -> tuple[list[str], list[str]]:
    imports = [
        "from pkv_interp.editing import field, system, user",
        "from pkv_interp.prompts.readout import action_ids",
        "from pkv_interp.prompts.segments import Message, Segment, build",
        "from pkv_interp.prompts.rendering import on_new_line",
    ]
    said = pieces(source.system)
    system = f"system({_parts(said)}), " if said else ""
    value = f"actions = {pair.case.actions!r}"
    return imports, [
        value,
        "def messages(value):",
        f"    return [{system}user({_parts(pieces(source.context))})]",
        "def prompt(value):",
        "    *before, last = messages(value)",
        f"    asked = on_new_line(last.text, {source.question!r})",
        '    last = Message(last.role, (*last.segments, *([Segment("decision", asked)] if asked else [])))',
        f'    cue = Segment("decision", {pair.cue!r}, "decision")',
        f"    rendered = dict(chat={source.chat}, thinking={explorer.maker.thinking})",
        "    return build([*before, last], cue, tokenizer, **rendered)",
        f"clean, corrupt = prompt({pair.values[0]!r}), prompt({pair.values[1]!r})",
        "ids = action_ids(clean, actions, tokenizer)",
        f"changed = clean.spans[{pair.field!r}]",
    ]


def _parts(found: list[str | Field]) -> str:
    """The arguments that a message is made of."""
    return ", ".join(
        repr(p)
        if isinstance(p, str)
        else f"field({p.name!r}, {'value' if p.other is not None else repr(p.value)})"
        for p in found
    )


def _pair() -> list[str]:
    return [
        "",
        "engine = Engine(loaded)",
        'wanted = {"attention", "prefill"}',
        "first, second = engine.prefill(clean.ids, wanted), engine.prefill(corrupt.ids, wanted)",
        "margin = lambda logits: float(logits[ids[0]] - logits[ids[1]])",
        'print("clean", margin(first.logits))',
        'print("corrupt", margin(second.logits))',
    ]


def _notes(state: State, n_layers: int) -> tuple[list[str], list[str]]:
    layers, words = band(state.notes.layers, n_layers), tuple(sorted(set(state.notes.words)))
    part = state.notes.part
    where = f"{words}" if words else "tuple(range(changed[1], clean.decision))"
    return ["from pkv_interp.interventions import KVPatch"], [
        f"words = {where}",
        f"row = (KVPatch(words, 0, {layers}, {part!r}),)",
        "patched = float(engine.decode(second, [row], [first], ids).logits @ torch.tensor([1.0, -1.0]))",
        'print("words", patched)',
    ]


def _heads(state: State) -> tuple[list[str], list[str]]:
    heads = sorted(set(state.heads.chosen))
    if not heads:
        return [], []
    words = tuple(sorted(set(state.notes.words))) if state.heads.site == "write" else (None,)
    imports = ["from dataclasses import replace", "from pkv_interp.interventions import HeadPatch"]
    lines = [
        f"row = tuple(HeadPatch(la, h, 0, p) for la, h in {heads} for p in {words})",
        "value = lambda base, donor: float("
        "engine.rerun(base, [row], [donor], ids).logits @ torch.tensor([1.0, -1.0]))",
        "gap = margin(first.logits) - margin(second.logits)",
    ]
    if state.heads.mode == "patch":
        return imports[1:], [
            *lines,
            'print("heads", (value(second, first) - margin(second.logits)) / gap)',
        ]
    name = "z" if state.heads.site == "read" else "z_all"
    return imports, [
        *lines,
        f"mean = replace(first, {name}=(first.{name} + second.{name}) / 2)",
        'print("heads", (gap - (value(first, mean) - value(second, mean))) / gap)',
    ]


def _edit(state: State, pair: Pair) -> tuple[list[str], list[str]]:
    edit = state.edit
    value = edit.value.strip() or pair.values[1]
    lines = []
    if isinstance(state.source, Scenario):
        lines += [
            f"task = edit_task(family, {state.source.index}, tokenizer, matches=False, **recipe)",
            "messages, question = task.messages, task.question",
            "cue = task.cue or style.cue",
        ]
        imports = ["from pkv_interp.tasks.edits import edit_task"]
        chat, notation = "task.chat", "task.notation"
    else:
        lines += [
            f"messages, question, cue = messages({pair.values[0]!r}), {pair.question!r}, {pair.cue!r}",
        ]
        imports = ["from pkv_interp.prompts.notation import PROSE"]
        chat, notation = repr(pair.chat), "PROSE"
    lines += [
        "context = EditableContext("
        f"loaded.model, tokenizer, messages, question, cue, {chat}, loaded.config.thinking"
        f").in_notation({notation})",
        f"full = context.edit({pair.field!r}, {value!r}, 'full_reprefill').decide(actions)",
    ]
    lines.append("methods = {")
    for method in edit.methods or USUAL:
        lines.append(f"    {method!r}: {options_of(method, pair.case.actions, edit.wording)!r},")
    lines += [
        "}",
        "for method, options in methods.items():",
        "    try:",
        f"        state = context.edit({pair.field!r}, {value!r}, method, **options)",
        "    except PkvError as error:",
        "        print(method, error)",
        "        continue",
        "    now = state.decide(actions)",
        "    kl = float(kl_divergence(now.logits, full.logits))",
        "    print(method, now.choice, now.margin, kl, state.cost.tokens)",
    ]
    if edit.chain:
        lines.append("state = context.prefill()")
    for step in edit.chain:
        options = options_of(step.method, pair.case.actions, edit.wording)
        lines += [
            f"state = state.edit({step.field!r}, {step.value!r}, {step.method!r}, **{options!r})",
            f'print("chain", {step.value!r}, state.decide(actions).margin)',
        ]
    return [
        *imports,
        "from pkv_interp.editing import EditableContext",
        "from pkv_interp.errors import PkvError",
        "from pkv_interp.measure.decision import kl_divergence",
    ], lines


def _compose(cut: Cut) -> tuple[list[str], list[str]]:
    imports = [
        "from pkv_interp.cache.compute import Runner",
        "from pkv_interp.composing import precompile, seam_repair, splice",
        "from pkv_interp.measure.decision import kl_divergence",
    ]
    end = cut.to + cut.length
    k = min(cut.repair, cut.length)
    repaired = f"seam_repair(runner, cache, ({cut.to}, {end}), whole[:{end}], {k}).cache"
    return imports, [
        "runner = Runner.of(loaded.model)",
        'for name, side in (("clean", clean), ("corrupt", corrupt)):',
        f"    chunk, rest = side.ids[{cut.start}:{cut.stop}], side.ids[:{cut.start}] + side.ids[{cut.stop}:]",
        f"    whole = rest[:{cut.to}] + chunk + rest[{cut.to}:]",
        "    full = runner.prefill(whole)",
        "    made = precompile(runner, tokenizer, chunk)",
        f"    cache = splice(runner, full.cache.slice(0, {cut.to}), made)",
        *([f"    cache = {repaired}"] if k else []),
        f"    now = runner.extend(cache, whole[{end}:]).logits",
        '    print("chunk", name, margin(now), float(kl_divergence(now, full.logits)))',
    ]
