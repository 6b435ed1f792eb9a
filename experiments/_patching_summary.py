"""From measured margins to the patching experiment's rows, tables and headline."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._claims import equivalences
from experiments._patching_cases import HEADLINE_K
from experiments._patching_checks import claims, floors
from experiments._patching_sites import grids, sites
from experiments._scores import Scorer, named, point, stack
from experiments._setup import TOLERANCE
from pkv_interp.measure.patching import first_reaching
from pkv_interp.records import Run
from pkv_interp.stats import ratio_of_means
from pkv_interp.tasks import Case

if TYPE_CHECKING:
    from experiments._patching_measures import Chunk
    from experiments.patching import PatchingSettings

Found = tuple[Sequence[Case], Sequence["Chunk"]]
ARMS = ("field_only", "notes_only", "full_downstream")
#: Share of the recovery whose price in positions is the headline k90.
LEVEL = 0.9


def summarise(
    run: Run,
    settings: "PatchingSettings",
    ranked: Found,
    scored: Found,
    gridded: Found,
    dosed: Found,
    thought: Found,
) -> None:
    """Fill the record; each argument is a list of cases with what was measured on them."""
    cases, chunks = scored
    held = Scorer(run, cases, chunks, settings)
    _states(run, held, chunks)
    floors(run, held, chunks)
    sites(run, held, ranked, scored)
    _curves(run, held, settings, chunks)
    _knockouts(run, held, settings, chunks)
    _attention(run, held, chunks)
    equivalences(run, claims(held, settings, chunks))
    grids(run, settings, gridded)
    _doses(run, settings, dosed)
    if thought[0]:
        _chains(run, settings, thought)
    if run.competence is not None and not run.competence.passed:
        # What an incompetent model decides is no evidence about notes: keep tables, withhold claims.
        run.headline = {"competence": run.headline["competence"]}


def states_of(chunks: Sequence["Chunk"]) -> dict[str, np.ndarray]:
    """Margins by cache state; ``stale`` and ``oracle`` are the two prompts themselves."""
    named = {
        "stale": ("corrupt",),
        "field_only": ("states", "field_only"),
        "notes_only": ("states", "notes_only"),
    }
    named |= {"full_downstream": ("states", "full_patch"), "oracle": ("clean",)}
    return {arm: stack(chunks, *path) for arm, path in named.items()}


def _states(run: Run, held: Scorer, chunks: Sequence["Chunk"]) -> None:
    margins = states_of(chunks)
    tokens = [len(case.clean) for case in held.cases]
    for arm in ARMS:
        run.headline[arm] = held.arm(arm, margins[arm], tokens=tokens)
    run.tables["states"] = [
        point(held.recovery(values), arm=arm, **named("decides_new", held.share(values > 0)))
        for arm, values in margins.items()
    ]
    run.tables["states_by_family"] = [
        {
            "family": family,
            "arm": arm,
            "value": float((values - held.corrupt)[mine].sum() / held.gap[mine].sum()),
            "decides_new": float((values > 0)[mine].mean()),
            "n_instances": int(mine.sum()),
        }
        for family in dict.fromkeys(held.families)
        for mine in [np.array([name == family for name in held.families])]
        if held.gap[mine].sum() != 0
        for arm, values in margins.items()
    ]
    errors = np.abs(margins["full_downstream"] - held.clean).sum() / np.abs(held.gap).sum()
    run.control(
        "full_downstream",
        1.0 - float(errors),
        1.0,
        TOLERANCE[str(run.model["dtype"])][0],
        f"an identity: field and notes together, {len(chunks)} scored cases",
    )


def _curves(run: Run, held: Scorer, settings: "PatchingSettings", chunks: Sequence["Chunk"]) -> None:
    """Growing sets: by rank, at random, from the end and from the start; and how many positions it takes."""
    grown = [np.asarray(c["cumulative"], float) for c in chunks]
    lines = []
    for i, k in enumerate(settings.sizes):
        arms = {"top": [g[min(k, len(g)) - 1] for g in grown]}
        arms |= {
            f"random_{by}": stack(chunks, f"random_{by}")[:, i].mean(-1) for by in ("region", "token_kind")
        }
        for arm, values in arms.items():
            keep = k == HEADLINE_K
            found = held.arm(f"{arm}{k}", values) if keep else held.recovery(values)
            matched = (
                None if arm == "top" else float(stack(chunks, arm.replace("random", "matched"))[:, i].mean())
            )
            lines.append(point(found, curve=arm, k=k, matched=matched))
            if keep and arm != "random_token_kind":
                run.headline[f"{arm.removesuffix('_region')}{k}"] = found
    run.tables["k_curve"] = lines
    run.tables["share_curve"] = [
        point(found, curve=side, share=share)
        for side in ("suffix", "prefix")
        for share, found in zip(settings.shares, held.recoveries(stack(chunks, side)), strict=True)
    ]
    live = np.abs(held.gap) > held.floor
    needed = [
        first_reaching((g - corrupt) / gap, LEVEL) if on else None
        for g, corrupt, gap, on in zip(grown, held.corrupt, held.gap, live, strict=True)
    ]
    counted = [n if n is not None else len(g) for n, g in zip(needed, grown, strict=True)]
    run.headline["k90"] = held.mean(counted)
    pooled = [
        held.recovery([g[min(k, len(g) - 1)] for g in grown]).value for k in range(max(map(len, grown)))
    ]
    run.tables["k90"] = [
        point(
            run.headline["k90"],
            pooled_curve=first_reaching(np.array(pooled), LEVEL),
            never_reached=float(np.mean([n is None for n in needed])),
            positions=float(np.mean([len(g) for g in grown])),
            ranked_positions=float(stack(chunks, "known_anchors").mean()),
        )
    ]
    run.tables["rank_curve"] = [{"k": k + 1, "value": value} for k, value in enumerate(pooled)]


def _knockouts(run: Run, held: Scorer, settings: "PatchingSettings", chunks: Sequence["Chunk"]) -> None:
    """What a knockout leaves of the gap between the two prompts, and of the right decisions on each."""

    def line(name: str, members: Sequence[str], **columns: Any) -> dict[str, Any]:
        have = [i for i, c in enumerate(chunks) if all(m in c["knockouts"]["clean"] for m in members)]
        sides = [
            np.array([np.mean([chunks[i]["knockouts"][side][m] for m in members]) for i in have])
            for side in ("clean", "corrupt")
        ]
        names = [held.families[i] for i in have]
        found = ratio_of_means(sides[0] - sides[1], held.gap[have], names, **held.options)
        right = {"clean_right": float((sides[0] > 0).mean()), "corrupt_right": float((sides[1] < 0).mean())}
        return point(found, **columns, knockout=name, **right)

    plain = dict.fromkeys(n for c in chunks for n in c["knockouts"]["clean"] if "@" not in n)
    run.tables["knockout_spans"] = [line(name, [name]) for name in plain]
    random = [f"random{i}" for i in range(settings.knockout_draws)]
    run.tables["knockout_shares"] = [
        line(order, [f"{m}@{share:g}" for m in members], share=share)
        for order, members in {"effect": ["effect"], "attention": ["attention"], "random": random}.items()
        for share in settings.knockout_shares
    ]
    for headline, name in (("knockout_downstream", "notes"), ("knockout_field", "field")):
        clean, corrupt = (stack(chunks, "knockouts", side, name) for side in ("clean", "corrupt"))
        held.arm(headline, clean, corrupt_patched=corrupt)
        run.headline[headline] = held.ratios((clean - corrupt)[:, None])[0]


def _attention(run: Run, held: Scorer, chunks: Sequence["Chunk"]) -> None:
    """Where the clean prompt's decision token looks, mean over heads and layers, and by layer."""
    regions = dict.fromkeys(name for c in chunks for name in c["attention"])
    layers = len(chunks[0]["attention"]["notes"])
    by_layer = {
        name: np.stack([np.asarray(c["attention"].get(name, [0.0] * layers), float) for c in chunks])
        for name in regions
    }
    run.tables["attention"] = [
        point(held.share(mass.mean(1)), region=name) for name, mass in by_layer.items()
    ]
    run.tables["attention_layers"] = [
        point(held.share(mass[:, layer]), region=name, layer=layer)
        for name, mass in by_layer.items()
        if name in ("sink", "field", "notes", "itself")
        for layer in range(layers)
    ]
    for headline, name in (("field_attention", "field"), ("notes_attention", "notes")):
        run.headline[headline] = held.share(by_layer[name].mean(1))


def _doses(run: Run, settings: "PatchingSettings", dosed: Found) -> None:
    """Cache states by prompt length and by statements of the rule."""
    cases, chunks = dosed
    lines = []
    for what, amounts in (("fillers", settings.fillers), ("rules", settings.rules)):
        for amount in amounts:
            mine = [c[f"{what}={amount}"] for c in chunks]
            scorer = Scorer(run, cases, mine, settings)
            right = float(np.mean([*(scorer.clean > 0), *(scorer.corrupt < 0)]))
            for arm, key in (("field_only", "field_only"), ("notes_only", "notes_only")):
                values = stack(mine, key)
                found = scorer.arm(f"{arm}@{what}={amount}", values, tokens=[int(c["tokens"]) for c in mine])
                lines.append(
                    point(
                        found,
                        what=what,
                        amount=amount,
                        arm=arm,
                        tokens=float(np.mean([c["tokens"] for c in mine])),
                        gap=float(scorer.gap.mean()),
                        two_way_right=right,
                        decides_new=float((values > 0).mean()),
                    )
                )
    run.tables["dose"] = lines


def _chains(run: Run, settings: "PatchingSettings", thought: Found) -> None:
    """Decisions after a chain of thought from each cache state, or the word that the model cannot do it."""
    cases, chunks = thought
    sides = [{"clean": c["oracle"]["margin"], "corrupt": c["stale"]["margin"]} for c in chunks]
    scorer = Scorer(run, cases, sides, settings)
    right = {
        "oracle_right": float((scorer.clean > 0).mean()),
        "stale_right": float((scorer.corrupt < 0).mean()),
    }
    answers = float(np.mean([chain["is_action"] for c in chunks for chain in c.values()]))
    lowest = min(*right.values(), answers)
    competent = lowest >= settings.competence_threshold and not run.model["random_weights"]
    thinking = settings.model.thinking is not None
    run.tables["cot_setup"] = [
        {
            "prompt": "thinking template" if thinking else "reason first",
            "decoding": "greedy",
            "most_tokens": settings.cot_tokens,
            "n": len(cases),
            "competent": competent,
            "answers_with_an_action": answers,
            **right,
        }
    ]
    lines = []
    for state in chunks[0]:
        chains = [c[state] for c in chunks]
        margin = stack(chains, "margin")
        with_chain = [c["no_chain"] for c in chains if c["no_chain"] is not None]
        if state not in ("stale", "oracle"):
            scorer.arm(f"cot_{state}", margin, truncated=[bool(c["truncated"]) for c in chains])
        gap = float(scorer.gap.sum())
        lines.append(
            {
                "state": state,
                "recovery": float((margin - scorer.corrupt).sum() / gap) if gap else None,
                **point(scorer.share(margin > 0), quantity="decides_new"),
                "no_downstream": float((stack(chains, "no_downstream") > 0).mean()),
                "no_chain": float(np.mean(np.array(with_chain) > 0)) if with_chain else None,
                "tokens": float(np.mean([c["n_tokens"] for c in chains])),
                "truncated": float(np.mean([c["truncated"] for c in chains])),
                "competent": competent,
                "example": chains[0]["text"],
            }
        )
    run.tables["cot"] = lines
