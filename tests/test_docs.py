"""What README, docs and CONTRIBUTING tell a reader to run does run; a trial that they tell of is recorded."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from pkv_interp.editing import METHODS
from tests.documents import PATHS, ROOT, Block, all_blocks, commands, made_by_recipes, text_of, write_files
from tests.experiments.configs import commands as configured
from tests.experiments.configs import compose

COMMANDS = commands()
#: Those that need nothing which the recipes only add; tests/test_recipes.py runs these.
EXPERIMENTS = [
    line
    for line in COMMANDS
    if line.startswith("python -m experiments.") and not any(name in line for name in made_by_recipes())
]
EXAMPLES = [block for block in all_blocks() if block.language == "python" and not block.what]
#: Commands that only read what is committed, and take seconds.
CHEAP = ("python -m pkv_interp.records check results/", "python -m experiments.docs --check")


def test_the_texts_give_commands_and_examples() -> None:
    assert len(EXPERIMENTS) >= 10
    assert {block.document for block in EXAMPLES} >= {"README.md", "docs/architecture.md"}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_every_module_target_and_link_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    makefile = text_of("Makefile")
    for target in re.findall(r"(?:`|^)make ([\w-]+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for module in re.findall(r"python -m ([\w.]+)", text):
        if module in ("pip", "pytest") or module.removeprefix("experiments.") in made_by_recipes():
            continue
        place = ROOT.joinpath(*module.split("."))
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), module
    for link in re.findall(r"(?<!!)\[[^\]]*\]\((?!https?:)([^)]+)\)", text):
        name, _, anchor = link.partition("#")
        target_file = path.parent / name if name else path
        assert target_file.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target_file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [_anchor(heading) for heading in headings], link


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_every_file_that_is_named_exists(path: Path) -> None:
    folders = "|".join(("configs", "docs", "experiments", "notebooks", "pkv_interp", "results", "tests"))
    text = path.read_text(encoding="utf-8")
    for named in re.findall(rf"(?<![\w/.-])((?:{folders})/[\w./-]*\w)", text):
        added = any(name in named for name in made_by_recipes())
        assert added or named == "results/local" or (ROOT / named).exists(), named


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("line", EXPERIMENTS)
def test_every_experiment_command_composes(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path, "docs/architecture.md")
    monkeypatch.chdir(tmp_path)
    _, _, module, *arguments = shlex.split(line)
    name = module.removeprefix("experiments.")
    if name in ("docs", "summarise"):
        assert [a for a in arguments if "=" in a] == []
        assert callable(importlib.import_module(f"{module}.__main__").main)
        return
    assert name in configured(), line
    swept = [""] if "--multirun" not in arguments else []
    overrides = [a for a in arguments if a != "--multirun" and (name, a) != ("sweep", "report")]
    for i, override in enumerate(overrides):
        key, _, values = override.partition("=")
        if "--multirun" in arguments and "," in values and not values.startswith("["):
            swept += [f"{key}={value}" for value in values.split(",")]
            overrides[i] = ""
    for one in swept:
        assert compose(name, *filter(None, [*overrides, one])).results_dir is not None


@pytest.mark.parametrize("line", CHEAP)
def test_cheap_commands_end_well(
    line: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In this process: each reads all of results/, and a new one would import torch first."""
    assert line in COMMANDS
    _, _, module, *arguments = shlex.split(line)
    monkeypatch.chdir(ROOT)
    code = importlib.import_module(f"{module}.__main__").main(arguments)
    told = capfd.readouterr().out
    assert code == 0, told
    number = re.search(r"^(\d+) (?:records, 0 problems|documents, changed: none)", told, re.MULTILINE)
    assert number, told
    assert int(number[1]) >= 5


def test_every_command_of_the_house_is_told() -> None:
    told = {shlex.split(line)[2].removeprefix("experiments.") for line in COMMANDS if " -m " in line}
    assert set(configured()) <= told


def test_every_editing_method_is_told_with_its_own_words() -> None:
    table = text_of("docs/methods.md").partition("## Editing\n")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == sorted(METHODS)


@pytest.mark.slow
@pytest.mark.usefixtures("examples_load_once")
@pytest.mark.parametrize(
    "block", [b for b in EXAMPLES if b.document != "README.md"], ids=lambda b: b.code.splitlines()[-1][:40]
)
def test_the_examples_of_the_docs_run(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path, block.document)
    exec(compile(block.code, block.document, "exec"), {})  # noqa: S102
    wanted = re.findall(r"#> (.*)$", block.code, re.MULTILINE)
    assert [line for line in capsys.readouterr().out.splitlines() if line] == wanted


def test_hooks_fetch_nothing_and_are_what_ci_runs() -> None:
    repositories = yaml.safe_load(text_of(".pre-commit-config.yaml"))["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    hooks = repositories[0]["hooks"]
    assert {hook["entry"] for hook in hooks} == {"ruff check", "ruff format --check"}
    for hook in hooks:
        assert hook["language"] == "system"
        tool = hook["entry"].split()[0]
        assert shutil.which(tool, path=str(Path(sys.executable).parent)), tool


def test_the_citation_names_us_and_the_paper() -> None:
    found = yaml.safe_load(text_of("CITATION.cff"))
    assert found["authors"] == [{"name": "The pkv_interp authors"}]
    assert found["license"] == "Apache-2.0"
    assert f'version = "{found["version"]}"' in text_of("pyproject.toml")
    (paper,) = found["references"]
    assert paper["url"] == "https://arxiv.org/abs/2606.17107"
    assert "Apache License" in text_of("LICENSE")


def test_what_limits_say_of_the_trial_gate_stands_in_its_record() -> None:
    trial = json.loads((ROOT / "docs" / "trials" / "train_gate-760-steps.json").read_text())
    said = (ROOT / "docs" / "limits.md").read_text()
    paragraph = re.sub(r"\s+", " ", said[said.index("- **A broader curriculum") :].split("\n- **")[0])
    share = {name: line["value"] for name, line in trial["headline"].items()}
    goals = trial["tables"]["goals"]
    (chat,) = trial["tables"]["chat_loss"]
    assert [line["name"] for line in goals if line["reached"]] == ["chat_loss"]
    assert len(goals) == 12
    for text in (
        f"(loss {chat['ratio']:.2f} times",
        f"Accuracy is {share['accuracy']:.2f} ",
        f"with the field late {share['accuracy_field_late']:.2f}",
        f"layout of its own {share['accuracy_unseen_layout']:.2f}",
        f"followed on {share['accuracy_updates']:.2f} ",
        f"taken back on {share['accuracy_reverted']:.2f}",
        f"misleads it on {1 - share['accuracy_unrelated_update']:.2f} ",
        f"named alike on {1 - share['accuracy_near_update']:.2f} ",
    ):
        assert text in paragraph


def test_what_results_say_of_other_curricula_stands_in_their_records() -> None:
    """Early, late and default stand side by side; the default's figures are of the record in results/."""
    (default,) = (ROOT / "results" / "train_gate").glob("smollm2-135m-base-*.json")
    records = [ROOT / "docs" / "trials" / f"train_gate-{name}.json" for name in ("early", "late")] + [default]
    made = [json.loads(path.read_text()) for path in records]
    assert [record["config"].get("curriculum", "mixed") for record in made] == ["early", "late", "mixed"]
    said = (ROOT / "docs" / "results.md").read_text()
    section = said[said.index("### Another curriculum") :]
    for line, name in (
        ("field before the rule: right", "accuracy"),
        ("field after the rule: right", "accuracy_field_late"),
        ("updates followed", "accuracy_updates"),
        ("not misled by an update of another field", "accuracy_unrelated_update"),
        ("the field flips: its own KV", "field_only"),
        ("the rule's trigger flips: its own KV", "trigger_only"),
        ("the rule's trigger flips: its notes", "trigger_notes_only"),
    ):
        figures = [f"{record['headline'][name]['value']:.3f}" for record in made]
        assert f"| {line} | {' | '.join(figures)} |" in section


def test_what_the_readme_says_of_untouched_caches_stands_in_the_record() -> None:
    (path,) = (ROOT / "results" / "origin").glob("qwen2.5-coder-1.5b-*.json")
    record = json.loads(path.read_text())
    (alone,) = (
        line["value"]
        for line in record["tables"]["accuracy"]
        if (line["role"], line["side"], line["place"]) == ("crossover", "both", "early")
    )
    read = record["headline"]["reader_accuracy"]["value"]
    said = re.sub(r"\s+", " ", (ROOT / "README.md").read_text())
    assert f"right on {alone:.2f} of prompts, with a LoRA at the decision token only on {read:.2f}." in said


def test_what_the_readme_says_of_the_moved_field_stands_in_the_record() -> None:
    (path,) = (ROOT / "results" / "patching").glob("qwen2.5-coder-1.5b-*.json")
    places = json.loads(path.read_text())["tables"]["field_places"]
    notes, alone = (
        next(line["value"] for line in places if (line["place"], line["arm"]) == ("before_rule", arm))
        for arm in ("notes_only", "field_only")
    )
    said = re.sub(r"\s+", " ", (ROOT / "README.md").read_text())
    assert f"[notes {notes:.3f}, field {alone:.3f}]" in said
