"""The companion site from small records: what it shows, what it links, and what it refuses to build."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from experiments.figures import rooms
from experiments.site import build as building
from experiments.site.build import Site, build
from experiments.site.figures import Figures, library
from experiments.site.links import anchor, broken, target
from experiments.site.prompt import NOT_DECIDED, SUBJECTS, chosen, prompt_data, prompt_html
from experiments.site.record_pages import MOST_LINES, record_body
from experiments.site.settings import SiteSettings
from experiments.site.story import CITING, checked_prose
from pkv_interp.errors import PkvError
from pkv_interp.plots.tables import NOT_COMPETENT
from pkv_interp.records import load_records, newest_of_each_model
from pkv_interp.records.cited import Citation, wrong
from tests.committed import committed
from tests.documents import ROOT

STORY = """# A story

Some words, `code`, [methods](methods.md#commands), [a file](../configs/circuit.yaml) and [a part](#a-part).

<!-- prompt -->

## A part

It is right on 0.00<!--= circuit tiny-llama competence --> of them.

![Bars](../results/figures/circuit/tiny-llama/token_bars.png)

<!-- headlines circuit tiny-llama competence -->
| headline | ours | what |
| --- | --- | --- |
| `competence` | 0.5 | accuracy |
<!-- end -->

```python
print("x")  # a comment
```
"""


@pytest.fixture
def world(circuit_results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of a small record and two documents."""
    root = tmp_path / "root"
    (root / "docs").mkdir(parents=True)
    shutil.copytree(circuit_results, root / "results")
    (root / "README.md").write_text("# Read me\n\n[The story](docs/story.md)\n", encoding="utf-8")
    (root / "docs" / "methods.md").write_text("# Methods\n\n## Commands\n\n2 of 3.\n", encoding="utf-8")
    (record,) = load_records(root / "results")
    told = f"{record.headline['competence'].value:.2f}"
    (root / "docs" / "story.md").write_text(STORY.replace("0.00<", f"{told}<"), encoding="utf-8")
    monkeypatch.setattr(building, "ROOT", root)
    return root


@pytest.fixture
def few_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """One figure of each record, for builds that end before any of them is looked at."""
    drawn = rooms.drawn_by

    def few(experiment: str) -> dict[str, Any]:
        return {name: draw for name, draw in drawn(experiment).items() if name == "token_bars"}

    monkeypatch.setattr(rooms, "drawn_by", few)


def built(world: Path, **changes: object) -> dict[str, str]:
    given = {"results_dir": world / "results", "output_dir": world / "site", "notebooks": "none"}
    build(SiteSettings.model_validate(given | changes))
    return {p.relative_to(world / "site").as_posix(): p.read_text() for p in (world / "site").rglob("*.*")}


def test_a_site_is_built_from_records_and_texts(world: Path) -> None:
    files = built(world)
    story = files["index.html"]
    assert '<section aria-labelledby="a-part">' in story
    assert 'href="methods.html#commands"' in story
    assert '<span class="path" title="../configs/circuit.yaml">a file</span>' in story
    assert re.search(r'class="num" href="records/circuit--tiny-llama.html#headline-competence"', story)
    # As a number of the prose does, that of a table leads to its record and field.
    assert (
        '<td><a class="num" href="records/circuit--tiny-llama.html#headline-competence">0.5</a></td>' in story
    )
    assert NOT_COMPETENT in story  # weights are random, and the figure's caption says so
    (figure,) = re.findall(r'data-figure="(\w+)"', story)
    assert files[f"figures/{figure}.js"].startswith(f'pkvFigure("{figure}",')
    assert 'id="prompt"' in story
    page = files["records/circuit--tiny-llama.html"]
    assert '<tr id="headline-competence">' in page
    assert "results/circuit/tiny-llama-" in page
    assert broken({name: text.encode() for name, text in files.items()}) == []
    assert built(world) == files, "the same records give the same bytes"


@pytest.mark.usefixtures("few_figures")
def test_a_number_that_is_not_its_records_stops_the_build(world: Path) -> None:
    path = world / "docs" / "story.md"
    path.write_text(re.sub(r"\d\.\d+<!--", "7.77<!--", path.read_text()), encoding="utf-8")
    with pytest.raises(
        PkvError, match=r"docs/story.md says 7\.77, and .* has 0\.\d\d at /headline/competence"
    ):
        built(world)
    assert not (world / "site").exists()


@pytest.mark.usefixtures("few_figures")
def test_a_number_without_a_record_stops_the_build_in_texts_that_cite(world: Path) -> None:
    path = world / "docs" / "story.md"
    path.write_text(path.read_text() + "\nIt is 12.5 times as fast.\n", encoding="utf-8")
    with pytest.raises(PkvError, match=r"docs/story.md states 12\.5 without a record"):
        built(world)


@pytest.mark.usefixtures("few_figures")
@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        (
            "methods.md#commands",
            "methods.md#comands",
            "1 links of the site lead nowhere, first methods.html#comands",
        ),
        ("token_bars.png", "token_cars.png", "draws no 'token_cars'"),
        ("circuit/tiny-llama/", "circuit/tiny-lama/", "no record draws"),
    ],
)
def test_what_leads_nowhere_stops_the_build(world: Path, old: str, new: str, cause: str) -> None:
    path = world / "docs" / "story.md"
    path.write_text(path.read_text().replace(old, new), encoding="utf-8")
    with pytest.raises(PkvError, match=re.escape(cause)):
        built(world)


def test_a_folder_of_something_else_is_left_alone(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is refused at once: notebooks take minutes."""
    monkeypatch.setattr(Site, "texts", lambda _: pytest.fail("something was built for it"))
    (world / "site").mkdir()
    (world / "site" / "mine.txt").write_text("mine")
    with pytest.raises(PkvError, match="holds something else than a site"):
        built(world)
    assert (world / "site" / "mine.txt").read_text() == "mine"


@pytest.mark.usefixtures("few_figures")
def test_a_site_that_weighs_too_much_is_not_written(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "MOST", 1000)
    with pytest.raises(PkvError, match="keep it under 1,000"):
        built(world)


def test_the_library_unpacks_to_plotly() -> None:
    text = library()
    (packed,) = re.findall(r'window\.pkvPacked="([^"]+)"', text)
    assert b"plotly.js v" in gzip.decompress(base64.b64decode(packed))[:300]
    assert len(text) < 2_300_000


def test_equal_figures_are_stored_once_and_titles_are_the_pages() -> None:
    figures = Figures()
    made = go.Figure(go.Bar(x=["a"], y=np.array([0.123456789])))
    made.add_heatmap(z=np.array([[0.5, 0.25], [0.125, 1.0]]))
    made.update_layout(
        title={"text": "<b>What</b>", "subtitle": {"text": "on <i>whom</i>"}}, margin={"t": 85}
    )
    noted = made.to_json()  # as a notebook has it, its arrays packed
    assert noted is not None
    assert "bdata" in noted
    one, two = figures.add(made), figures.add(go.Figure(json.loads(noted)))
    assert one == two
    assert (one.title, one.sample, one.warning) == ("What", "on whom", "")
    (script,) = figures.scripts.values()
    (text,) = re.findall(r',"([^"]+)"', script)
    kept = json.loads(gzip.decompress(base64.b64decode(text)))
    assert kept["data"][0]["y"] == [0.1235]
    assert kept["data"][1]["z"] == [[0.5, 0.25], [0.125, 1]]
    assert "title" not in kept["layout"]
    assert kept["layout"]["margin"]["t"] == 25


def test_the_prompt_has_the_recoveries_of_the_record(circuit_results: Path) -> None:
    (record,) = load_records(circuit_results)
    data = prompt_data(record)
    live = [
        line["recovery"]
        for line, token in zip(record.tables["tokens"], data["tokens"], strict=True)
        if token["live"]
    ]
    assert data["parts"]["KV"]["single"] == pytest.approx(live, abs=5e-4)
    assert [token["changed"] for token in data["tokens"]] == [
        line["changed"] for line in record.tables["tokens"]
    ]


def test_a_record_without_a_prompt_is_passed_over(circuit_results: Path) -> None:
    (record,) = load_records(circuit_results)
    without = record.model_copy(update={"tables": {}})
    assert chosen({SUBJECTS[0]: without, ("circuit", "tiny-llama"): record}) is record
    with pytest.raises(PkvError, match="no record has a prompt"):
        chosen({SUBJECTS[0]: without})


@pytest.mark.parametrize(("clean", "corrupt", "is_right"), [(1.0, -1.0, True), (1.0, 0.5, False)])
def test_a_prompt_that_is_decided_wrong_is_told_to_be(
    circuit_results: Path, clean: float, corrupt: float, is_right: bool
) -> None:
    """A record of circuit does not tell it in a table; the margins of its example do."""
    (record,) = load_records(circuit_results)
    rows = [row.model_copy(update={"clean": clean, "corrupt": corrupt}) for row in record.rows]
    shown = prompt_html(record.model_copy(update={"rows": rows}))
    assert (NOT_DECIDED in shown) == (not is_right)
    assert NOT_DECIDED in prompt_html(record.model_copy(update={"rows": []})), "not known is not right"


def test_a_long_table_shows_its_first_lines_and_those_that_are_cited_and_words_are_shown_whole(
    circuit_results: Path,
) -> None:
    (record,) = load_records(circuit_results)
    lines = [{"at": i, "value": i / 8} for i in range(30)]
    tables = {"tokens": lines, "long": lines, "short": lines[:MOST_LINES]}
    record = record.model_copy(update={"experiment": "prompt", "tables": tables})
    cited = Citation("1", "1", record, "/tables/long/25/value", "", None)
    parts = record_body(record, "here", {}, [cited]).body.split('<details id="tables-')[1:]
    rows = [re.findall(r"<tr[^>]*><td>(\d+)</td>", part.partition("</details>")[0]) for part in parts]
    assert rows == [[str(i) for i in at] for at in (range(30), [0, 1, 2, 25], range(MOST_LINES))]
    assert [re.findall(r"<span>\((.*?)\)</span>", part)[0] for part in parts] == [
        "30 lines", "30 lines, 4 of them here", f"{MOST_LINES} lines",
    ]  # fmt: skip
    assert '<tr id="tables-long-25">' in parts[1]


def test_the_example_names_both_values_and_which_of_the_two_is_shown(small_results: Any) -> None:
    (record,) = load_records(small_results("prompt"))
    (pair,) = record.tables["prompt"]
    data, text = prompt_data(record), prompt_html(record)
    framed = "".join(token["text"] for token in data["tokens"] if token["changed"]).strip()
    assert framed == pair["new"]  # the prompt that is shown is the one with the new value
    assert data["ends"] == [
        f"0: with “{pair['old']}” in the frame ({pair['corrupt_action']})",
        f"1: with “{pair['new']}”, as shown ({pair['clean_action']})",
    ]
    assert f"the same prompt with “{pair['old']}” in the frame" in text
    assert data["start"].startswith(f"with “{pair['old']}” in the frame the margin is {pair['corrupt']:.2f}")


def test_links_lead_where_the_document_meant() -> None:
    pages = {"docs/methods.md", "README.md", "notebooks/circuit.ipynb", "docs/story.md"}
    assert target("methods.md#circuit", "docs", pages) == "methods.html#circuit"
    assert target("../README.md", "docs", pages) == "readme.html"
    assert target("../notebooks/circuit.ipynb", "docs", pages) == "notebooks/circuit.html"
    assert target("docs/story.md", "", pages) == "index.html"
    assert target("../configs/site.yaml", "docs", pages) is None
    assert target("https://hydra.cc", "docs", pages) == "https://hydra.cc"
    assert anchor("Address or content: what a note is") == "address-or-content-what-a-note-is"


def test_every_number_of_the_committed_texts_is_its_records() -> None:
    found, _ = newest_of_each_model(committed())
    records = {(record.experiment, record.subject): record for record in found}
    for document in CITING:
        text = (ROOT / document).read_text(encoding="utf-8")
        assert wrong(text, records) == []
        checked_prose(text, document, records)


def test_the_menu_names_every_page_that_is_read_first(world: Path) -> None:
    given = {"results_dir": world / "results", "output_dir": world / "site", "notebooks": "none"}
    menu = Site(SiteSettings.model_validate(given), lambda _: None).menu
    assert [item["text"] for item in menu] == ["Story", "One prompt", "Docs", "Records"]
