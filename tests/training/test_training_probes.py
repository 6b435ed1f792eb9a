"""What the gate adapter is judged on: answers follow from the text, and sharing changes no margin."""

from collections import defaultdict

import pytest

from pkv_interp.prompts.errata import UPDATES
from pkv_interp.tasks import default_scenarios
from pkv_interp.training import evaluation
from pkv_interp.training.evaluation import answer
from pkv_interp.training.losses import micro_batches
from pkv_interp.training.probes import FAR_FIELD, NEAR_FIELD, Probe, probes
from tests.families import tiny


@pytest.fixture(scope="module")
def found() -> list[Probe]:
    return probes(default_scenarios(), tiny("llama").tokenizer, seed=0, lengths=(0,), instances=1)


def by_condition(found: list[Probe]) -> dict[str, list[Probe]]:
    groups: dict[str, list[Probe]] = defaultdict(list)
    for probe in found:
        groups[probe.condition].append(probe)
    return groups


def test_every_condition_asks_both_sides_of_every_family(found: list[Probe]) -> None:
    groups = by_condition(found)
    names = {"length-0", "field-late", "no-template", "near-update", "unrelated-update"}
    names |= {f"{kind}-{wording}" for kind in ("update", "reverted") for wording in UPDATES}
    assert set(groups) == names | {"layout-dossier", "layout-dossier-late"}
    families = {family.name for family in default_scenarios().families}
    for group in groups.values():
        assert {(p.family, p.match) for p in group} == {(f, side) for f in families for side in (True, False)}
        for match in (True, False):
            # Which of a family's actions is right is drawn, so that none is right throughout.
            first = [p.action_ids[0] == sorted(p.action_ids)[0] for p in group if p.match is match]
            assert 0 < sum(first) < len(first)


def told(probe: Probe, span: str) -> str:
    """The text of a span, empty where there is none."""
    place = probe.prompt.spans.get(span, (0, 0))
    return str(tiny("llama").tokenizer.decode(list(probe.prompt.ids[slice(*place)]))).strip()


def test_the_gold_action_follows_from_the_last_line_about_the_field(found: list[Probe]) -> None:
    """Read again from the text: the rule's field, its last value, and the trigger of the rule."""
    expected = {"update": (1, 1), "reverted": (2, 2), "near": (1, 0), "unrelated": (1, 0)}
    for probe in found:
        family = default_scenarios().by_name[probe.family]
        lines = [line.lower() for line in told(probe, "update").split("\n") if line.strip()]
        others = (NEAR_FIELD.format(field=family.field), FAR_FIELD)
        own = [line for line in lines if not any(name in line for name in others)]
        value = told(probe, "field")
        if own:
            (value,) = [v for v in family.values if v in own[-1].split(family.field)[-1]]
        assert (value == told(probe, "trigger")) is probe.match, (probe.condition, lines)
        counts = expected.get(probe.condition.split("-")[0], (0, 0))
        assert (len(lines), len(own)) == counts, (probe.condition, lines)
        if lines and not own:  # another field gives the value that would change the decision
            assert (told(probe, "trigger") in lines[0]) is not probe.match


def test_prompts_that_share_a_beginning_are_answered_as_alone(
    found: list[Probe], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = tiny("llama")
    some = [p for p in found if p.family in ("orders", "fares")]
    together = answer(loaded.model, loaded.tokenizer, some)
    calls: list[int] = []

    def alone(sequences: list, budget: int) -> list:  # type: ignore[type-arg]
        calls.append(budget)
        return [(0, group) for group in micro_batches(sequences, 1)]

    shared = [
        length
        for length, _ in evaluation.shared_batches(
            [evaluation.TokenSequence(p.prompt.ids, (p.prompt.decision,), (), "probe") for p in some], 4096
        )
    ]
    assert sum(length > 0 for length in shared) >= 4
    monkeypatch.setattr(evaluation, "shared_batches", alone)
    apart = answer(loaded.model, loaded.tokenizer, some)
    assert calls
    assert [m for m, _ in together] == pytest.approx([m for m, _ in apart], abs=1e-4)
    assert [top for _, top in together] == [top for _, top in apart]
