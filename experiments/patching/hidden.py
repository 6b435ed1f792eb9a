"""What hiding positions from the decision leaves, and where the decision looks."""

from collections.abc import Sequence

import numpy as np

from experiments.patching.measure import Measured
from experiments.patching.settings import PatchingSettings
from experiments.patching.tables import KnockoutShare, KnockoutSpan
from pkv_interp.records.tables import TableRow
from pkv_interp.run.report import SHARE, Headline
from pkv_interp.run.right_pairs import Section
from pkv_interp.run.scoring import Scorer
from pkv_interp.run.stage import stacked
from pkv_interp.stats import Estimate, ratio_of_means


def knockouts(found: Measured, held: Scorer, settings: PatchingSettings) -> Section:
    """What a knockout leaves of the gap between the two prompts, and of the right decisions on each."""
    scored = found.scored.of(held.cases)
    plain = dict.fromkeys(name for one in scored for name in one.hidden_clean if "@" not in name)
    lines: list[TableRow] = []
    for name in plain:
        estimate, right = _left(found, held, [name])
        lines.append(KnockoutSpan.of(estimate, knockout=name, **right))
    random = [f"random{i}" for i in range(settings.knockout_draws)]
    for order, members in {"effect": ["effect"], "attention": ["attention"], "random": random}.items():
        for share in settings.knockout_shares:
            estimate, right = _left(found, held, [f"{member}@{share:g}" for member in members])
            lines.append(KnockoutShare.of(estimate, knockout=order, share=share, **right))
    changed = found.cases.changed
    name, what = f"knockout_{changed}", f"gap left when the decision may not see the {changed}"
    clean = stacked(scored, lambda s: s.hidden_clean[changed])
    corrupt = stacked(scored, lambda s: s.hidden_corrupt[changed])
    held.arm(name, clean, corrupt_patched=corrupt)
    return [Headline(name, held.ratios((clean - corrupt)[:, None])[0], what)], lines


def _left(found: Measured, held: Scorer, members: Sequence[str]) -> tuple[Estimate, dict[str, float]]:
    """Share of the gap left and right decisions under knockouts, mean over them, where a prompt has all."""
    scored = found.scored.of(held.cases)
    have = [i for i, one in enumerate(scored) if all(member in one.hidden_clean for member in members)]
    clean, corrupt = (
        np.array([np.mean([side[i][member] for member in members]) for i in have])
        for side in ([one.hidden_clean for one in scored], [one.hidden_corrupt for one in scored])
    )
    families = [held.families[i] for i in have]
    estimate = ratio_of_means(clean - corrupt, held.gap[have], families, **held.resampling)
    return estimate, {
        "clean_right": float((clean > 0).mean()),
        "corrupt_right": float((corrupt < 0).mean()),
    }


def attention(found: Measured, held: Scorer) -> Section:
    """Where the clean prompt's decision token looks, mean over heads and layers."""
    scored = found.scored.of(held.cases)
    headlines = [
        Headline(
            f"{region}_attention",
            held.share(stacked(scored, lambda s, region=region: s.attention[region]).mean(1)),
            f"attention of the decision on the {region}",
            bounds=SHARE,
        )
        for region in (found.cases.changed, "notes")
    ]
    return headlines, []
