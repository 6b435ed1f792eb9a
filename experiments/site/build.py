"""The whole site, from records, docs and notebooks to a folder."""

import shutil
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from rich.console import Console

from experiments.site.figures import Drawn, Figures, library
from experiments.site.links import broken, page_of, record_page
from experiments.site.notebooks import loads_a_model, notebook_body, run, unrun
from experiments.site.pages import Rendered, Sources, figure_html, render
from experiments.site.prompt import chosen, prompt_html, prompt_script
from experiments.site.record_pages import index_body, record_body
from experiments.site.settings import SiteSettings
from experiments.site.story import checked_prose, in_scrolls
from pkv_interp.errors import PkvError
from pkv_interp.files import atomic_write
from pkv_interp.records import RunRecord, load_records, newest_of_each_model
from pkv_interp.records.cited import Citation
from pkv_interp.records.find import LOCAL

ROOT = Path(__file__).resolve().parents[2]
THEME = Path(__file__).parent / "theme"
STORY = "docs/story.md"
#: A marker in a document for the prompt to click.
PROMPT = "<!-- prompt -->"
PROMPT_SCRIPTS = ("assets/prompt-data.js", "assets/prompt.js")
PROMPT_PAGE = """<h1>One prompt</h1>
<p>Two prompts differ in a field's value and end in different decisions. Below is the one, and its cache gets
keys and values of the other at the words that you choose. How far the decision moves is recovery: zero for
nothing, one for all the way. Move with the arrow keys, choose with the space bar.</p>
"""
#: What the site may weigh, in bytes.
MOST = 6_000_000
_MENU = ("story", "explainer", "mechanism", "results")
_TITLES = {"readme": "README", "results": "Results", "tau2": "tau2-bench"}


class Site:
    """A site in the making.

    Attributes:
        settings: of the command.
        say: where lines about the work go.
    """

    def __init__(self, settings: SiteSettings, say: Callable[[str], None]) -> None:
        self.settings, self.say = settings, say
        self.figures = Figures()
        self.cited: list[Citation] = []
        self.files: dict[str, bytes] = {}
        self.used: set[str] = set()

    @cached_property
    def documents(self) -> list[Path]:
        """Texts that are pages."""
        return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

    @cached_property
    def notebooks(self) -> list[Path]:
        """Notebooks that are pages; none where none is asked for."""
        return sorted((ROOT / "notebooks").glob("*.ipynb")) if self.settings.notebooks != "none" else []

    @cached_property
    def records(self) -> dict[tuple[str, str], RunRecord]:
        """The newest record of each experiment and subject."""
        found, remarks = newest_of_each_model(load_records(self.settings.results_dir, without=LOCAL))
        for remark in remarks:
            self.say(remark)
        if not found:
            raise PkvError(f"{self.settings.results_dir} has no finished record", "run `make circuit` first")
        return {(record.experiment, record.subject): record for record in found}

    @cached_property
    def drawn(self) -> dict[tuple[str, str], dict[str, Drawn]]:
        """Every figure of every record."""
        return {key: self.figures.of(record) for key, record in self.records.items()}

    @cached_property
    def sources(self) -> Sources:
        """What pages are made from."""
        paths = [*self.documents, *self.notebooks]
        return Sources(self.records, self.drawn, {path.relative_to(ROOT).as_posix() for path in paths})

    @cached_property
    def page(self) -> jinja2.Template:
        """What every page looks like."""
        world = jinja2.Environment(
            loader=jinja2.FileSystemLoader(THEME), autoescape=jinja2.select_autoescape(["html"])
        )
        return world.get_template("page.html")

    @cached_property
    def menu(self) -> list[dict[str, Any]]:
        """Pages at the top, those that are read first by themselves."""
        first = [{"text": "Story", "href": "index.html"}, {"text": "One prompt", "href": "prompt.html"}]
        texts = {path.stem.lower(): path for path in self.documents}
        first += [
            {"text": _title(name), "href": page_of(f"docs/{name}.md")} for name in _MENU[1:] if name in texts
        ]
        rest = [
            {"text": _title(name), "href": page_of(path.name)}
            for name, path in texts.items()
            if name not in _MENU
        ]
        books = [
            {
                "text": path.stem.capitalize() + ("" if self.runs(path) else " (not run)"),
                "href": page_of(path.name),
            }
            for path in self.notebooks
        ]
        more = [{"text": "Docs", "pages": rest}, {"text": "Notebooks", "pages": books}]
        return [
            *first,
            *(one for one in more if one["pages"]),
            {"text": "Records", "href": "records/index.html"},
        ]

    def add(self, name: str, made: Rendered, *, kind: str = "text", scripts: Iterable[str] = ()) -> None:
        """Put a page into the site."""
        text = self.page.render(
            title=made.title,
            body=Markup(made.body),
            toc=made.toc,
            menu=self.menu,
            here=name,
            up="../" * name.count("/"),
            kind=kind,
            scripts=list(scripts),
        )
        self.files[name] = text.encode()
        self.cited += made.cited
        self.used |= made.drawn

    def texts(self) -> None:
        """Documents, the story among them, and the prompt."""
        record = chosen(self.records)
        self.files["assets/prompt-data.js"] = prompt_script(record).encode()
        texts = {
            path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in self.documents
        }
        for document, text in texts.items():  # all of them before a figure is drawn
            checked_prose(text, document, self.records)
        for document, text in texts.items():
            has_prompt = PROMPT in text
            text = text.replace(PROMPT, f"\n{prompt_html(record)}\n")
            made = render(text, document, self.sources)
            is_story = document == STORY
            if is_story:
                made = in_scrolls(made)
            kind = "story" if is_story else "text"
            self.add(page_of(document), made, kind=kind, scripts=PROMPT_SCRIPTS if has_prompt else ())

    def one_prompt(self) -> None:
        """The prompt by itself, with all that its record has of it."""
        record = chosen(self.records)
        key = record.experiment, record.subject
        shown = self.drawn[key] if record.experiment == "prompt" else {}
        figures = "".join(figure_html(one, "", alt=name) for name, one in shown.items())
        made = Rendered("One prompt", f"{PROMPT_PAGE}{prompt_html(record)}{figures}", [])
        made.drawn = {one.name for one in shown.values()}
        self.add("prompt.html", made, scripts=PROMPT_SCRIPTS)

    def runs(self, notebook: Path) -> bool:
        """Whether a notebook is run for this site."""
        return self.settings.notebooks == "all" or not loads_a_model(notebook)

    def records_and_notebooks(self) -> None:
        """A page for each record, after the texts that cite them, and one for each notebook."""
        for path in self.notebooks:
            runs = self.runs(path)
            self.say(f"{path.name}: {'running it' if runs else 'left without outputs, it loads a model'}")
            notebook = run(path, self.settings.results_dir, ROOT) if runs else unrun(path)
            document = path.relative_to(ROOT).as_posix()
            made = notebook_body(notebook, document, self.sources, self.figures, was_run=runs)
            self.add(page_of(document), made)
        told = []
        for key, record in self.records.items():
            cited = [one for one in self.cited if one.record is record]
            name = record_page(record)
            where = _path_of(record)
            self.add(name, record_body(record, where, self.drawn[key], cited))
            told.append((record, name.removeprefix("records/"), where))
        self.add("records/index.html", index_body(told))

    def assets(self) -> None:
        """Style, scripts, and the figures that pages show."""
        for name in ("style.css", "site.js", "prompt.js"):
            self.files[f"assets/{name}"] = (THEME / name).read_bytes()
        self.files["assets/plotly.js"] = library().encode()
        for name in sorted(self.used):
            self.files[f"figures/{name}.js"] = self.figures.scripts[name].encode()

    def check_place(self) -> None:
        """Refuse a folder that another site did not leave, before anything is run or drawn for it.

        Raises:
            PkvError: it holds something else.
        """
        folder = self.settings.output_dir
        if folder.exists() and any(folder.iterdir()) and not (folder / "assets" / "site.js").is_file():
            raise PkvError(f"{folder} holds something else than a site", "give an empty folder as output_dir")

    def write(self) -> int:
        """Write the folder anew.

        Raises:
            PkvError: a link leads nowhere, it would weigh too much, or holds what no site left there.
        """
        dead = broken(self.files)
        if dead:
            raise PkvError(
                f"{len(dead)} links of the site lead nowhere, first {dead[0]}", "correct the document"
            )
        size = sum(map(len, self.files.values()))
        if size > MOST:
            heaviest = max(self.files, key=lambda name: len(self.files[name]))
            raise PkvError(
                f"the site would have {size:,} bytes, most of them in {heaviest}", f"keep it under {MOST:,}"
            )
        self.check_place()
        folder = self.settings.output_dir
        if folder.exists():
            shutil.rmtree(folder)
        for name, content in self.files.items():
            atomic_write(folder / name, content)
        return size


def _title(name: str) -> str:
    return _TITLES.get(name, name.capitalize())


def _path_of(record: RunRecord) -> str:
    path = record.path
    return f"results/{record.experiment}/{path.name}" if path else record.key


def build(settings: SiteSettings) -> None:
    """Build the site and say what is in it.

    Raises:
        PkvError: a text cites what no record has, or states a number that is not its record's.
    """
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    site = Site(settings, lambda line: console.print(line, markup=False))
    site.check_place()
    site.texts()
    site.one_prompt()
    site.records_and_notebooks()
    site.assets()
    size = site.write()
    pages = sum(name.endswith(".html") for name in site.files)
    site.say(
        f"{settings.output_dir}/index.html: {pages} pages, {len(site.used)} figures, "
        f"{len(site.cited)} cited numbers, {size / 1e6:.2f} MB"
    )
