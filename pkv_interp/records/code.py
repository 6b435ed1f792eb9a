"""Which code a result depends on: the import closure of a module, hashed by what it means.

Comments, docstrings, blank lines and line breaks are no part of the hash, so that a reworded docstring makes
nothing stale; anything that Python would run differently is. Imports under ``TYPE_CHECKING`` are for readers
and type checkers and are not followed. Other files (scenario tables) count where they are in the folder of a
module that is reached.
"""

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

#: Only code of these packages is followed; the versions of others stand in the record.
PACKAGES = ("pkv_interp", "experiments")
_DATA = frozenset({".json", ".jsonl", ".yaml", ".txt", ".csv"})
# Type parameters and comments' kinds are fields that one Python has and another one lacks.
_SKIPPED = frozenset({"type_params", "type_ignores", "type_comment", "kind", "ctx"})


def _documented(node: ast.AST) -> bool:
    return isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)


def _body(node: ast.AST) -> list[ast.stmt]:
    body: list[ast.stmt] = getattr(node, "body", [])
    first = body[0] if body else None
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        return body[1:]
    return body


def canonical(node: ast.AST) -> str:
    """A syntax tree as text, without docstrings, the same under every Python that can parse it."""
    pieces: list[str] = []
    _write(node, pieces)
    return "".join(pieces)


def _write(node: ast.AST, pieces: list[str]) -> None:
    pieces.append(type(node).__name__)
    for name, value in ast.iter_fields(node):
        if name in _SKIPPED:
            continue
        inner = _body(node) if name == "body" and _documented(node) else value
        if inner is None or inner == []:
            continue
        pieces.append(f"({name}")
        for one in inner if isinstance(inner, list) else [inner]:
            if isinstance(one, ast.AST):
                _write(one, pieces)
            else:
                pieces.append(repr(one))
        pieces.append(")")


@lru_cache
def _folder_of(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    places = None if spec is None else spec.submodule_search_locations
    return Path(next(iter(places))) if places else None


@cache
def _file_of(module: str) -> Path | None:
    """The source of a module of `PACKAGES`, None for other modules and for names that are no module."""
    top, *inner = module.split(".")
    folder = _folder_of(top) if top in PACKAGES else None
    if folder is None:
        return None
    # Found by its place, so that nothing of what is looked at has to be imported.
    place = folder.joinpath(*inner)
    found = [path for path in (place / "__init__.py", place.with_suffix(".py")) if path.is_file()]
    return found[0] if found else None


def _is_typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def _imports(node: ast.AST, package: str) -> Iterator[str]:
    """Names that a tree imports, modules and members alike; ``package`` resolves relative imports."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = child.module or ""
            if child.level:
                root = package.rsplit(".", child.level - 1)[0] if child.level > 1 else package
                base = f"{root}.{base}" if base else root
            yield base
            yield from (f"{base}.{alias.name}" for alias in child.names)
        elif _is_typing_only(child):
            yield from _imports_of_else(child, package)
        else:
            yield from _imports(child, package)


def _imports_of_else(node: ast.AST, package: str) -> Iterator[str]:
    for statement in getattr(node, "orelse", []):
        yield from _imports(ast.Module([statement], []), package)


@dataclass(frozen=True)
class _Source:
    """What a module's source means, as bytes, and the names that it imports."""

    meaning: bytes
    imports: tuple[str, ...]


@cache  # by content, so that a file is parsed once however many roots reach it
def _understood(text: str, package: str) -> _Source:
    tree = ast.parse(text)
    return _Source(canonical(tree).encode(), tuple(_imports(tree, package)))


def _source_of(module: str, path: Path) -> _Source:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return _understood(path.read_text(encoding="utf-8"), package)


@lru_cache
def closure(roots: tuple[str, ...]) -> tuple[str, ...]:
    """Every module of `PACKAGES` that importing ``roots`` can reach, packages on the way included, sorted."""
    waiting, found = list(roots), dict[str, None]()
    while waiting:
        module = waiting.pop()
        path = _file_of(module)
        if module in found or path is None:
            continue
        found[module] = None
        if "." in module:
            waiting.append(module.rpartition(".")[0])
        waiting += _source_of(module, path).imports
    return tuple(sorted(found))


def _files(modules: Iterable[str]) -> dict[str, Path]:
    """Sources and data files by a name that does not depend on where the packages are installed."""
    out: dict[str, Path] = {}
    for module in modules:
        path = _file_of(module)
        if path is not None:
            out[module] = path
        # Data of the library as a whole are published figures, which nothing is computed from, and adapters,
        # which are part of the model's weights.
        if path is not None and path.name == "__init__.py" and "." in module:
            out |= {f"{module}/{p.relative_to(path.parent).as_posix()}": p for p in _data(path.parent)}
    return out


def _data(package: Path) -> Iterator[Path]:
    """Data files of a package, those of packages inside it left out."""
    for path in sorted(package.iterdir()):
        if path.is_dir() and not (path / "__init__.py").is_file():
            yield from _data(path)
        elif path.suffix in _DATA:
            yield path


@dataclass(frozen=True)
class Code:
    """The code that some modules can reach.

    Attributes:
        roots: names of those modules.
        sha256: over what it means.
    """

    roots: tuple[str, ...]
    sha256: str


def code_of(*roots: str) -> Code:
    """The present code that ``roots`` reach; names of modules that are gone are left out of the hash."""
    return Code(roots, code_hash(roots))


@lru_cache
def code_hash(roots: tuple[str, ...]) -> str:
    """SHA-256 over the code and data that ``roots`` reach."""
    digest = hashlib.sha256()
    for name, path in sorted(_files(closure(roots)).items()):
        text = _source_of(name, path).meaning if path.suffix == ".py" else path.read_bytes()
        digest.update(f"{name}\0{len(text)}\0".encode() + text)
    return digest.hexdigest()
