"""Fingerprints of code: they change when the results of a script may change, not when only comments do."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1]


def of_script(script: str | Path) -> str:
    """Digest a script and the modules of this package that it imports, directly or indirectly.

    The digest is over syntax trees without docstrings: comments, docstrings and formatting do not count.

    Parameters
    ----------
    script
        A Python file.

    Returns
    -------
    str
        16 hexadecimal digits.

    Raises
    ------
    ImportError
        Where an import of this package leads to no file, and so cannot be followed.
    """
    text = "\n".join(f"{name} {digest}" for name, digest in sorted(modules(script).items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def modules(script: str | Path) -> dict[str, str]:
    """List a script and the modules of this package that it imports, by name, with the digest of each."""
    seen: dict[str, str] = {}
    waiting = [Path(script)]
    while waiting:
        path = waiting.pop()
        name = _name(path)
        if name in seen:
            continue
        seen[name], imported = _read(path, path.stat().st_mtime_ns)
        waiting += imported
    return seen


def _name(path: Path) -> str:
    # names, not paths: a copy of the repository elsewhere has the same fingerprint
    if not path.is_relative_to(PACKAGE):
        return path.name
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# one entry for each state of each file: a bounded cache that is smaller than the package would never be hit
@cache
def _read(path: Path, _changed: int) -> tuple[str, tuple[Path, ...]]:
    # the package's own functions are for users, and no script calls them; but every script reads the file
    digest, imports = _parse(path.read_text(encoding="utf-8"), path == PACKAGE / "__init__.py")
    imported: set[Path] = set()
    for statement in imports:
        if statement.level:
            raise ImportError(f"{path}, line {statement.line}: write the import from {PACKAGE.name} in full")
        if not _is_ours(statement.module):
            continue
        for name in statement.names:
            inner = f"{statement.module}.{name}" if name else statement.module
            imported |= _files(inner) or _files_with(statement.module, name) or _lost(path, statement)
    return digest, tuple(sorted(imported))


class _Import(NamedTuple):
    """`import module`, with one empty name, or `from module import names`."""

    module: str
    names: tuple[str, ...]
    level: int
    line: int
    source: str


# by text: copies of a file are parsed once
@cache
def _parse(text: str, only_assignments: bool) -> tuple[str, tuple[_Import, ...]]:
    """Return the digest of a module's syntax tree without docstrings, and its imports."""
    tree = ast.parse(text)
    if only_assignments:
        tree.body = [node for node in tree.body if isinstance(node, ast.Assign)]
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            found.append(_Import(node.module or "", names, node.level, node.lineno, ast.unparse(node)))
        elif isinstance(node, ast.Import):
            found += [_Import(alias.name, ("",), 0, node.lineno, ast.unparse(node)) for alias in node.names]
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _strip_docstring(node)
    return hashlib.sha256(_text(tree).encode()).hexdigest(), tuple(found)


def _is_ours(module: str) -> bool:
    return module.split(".")[0] == PACKAGE.name


def _own(module: str) -> Path:
    """Return the path of a module of this package, which need not exist."""
    place = PACKAGE.joinpath(*module.split(".")[1:])
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def _files(module: str) -> set[Path]:
    """Return the files that Python reads to import a module: its own, and `__init__.py` of every package around it."""
    own = _own(module)
    if not own.is_file():
        return set()
    parts = module.split(".")[1:]
    around = (PACKAGE.joinpath(*parts[:i], "__init__.py") for i in range(len(parts)))
    return {own, *(file for file in around if file.is_file())}


def _files_with(module: str, name: str) -> set[Path]:
    """Return the files of a module if it defines a name; otherwise none, so that a missing submodule is noticed."""
    files = _files(module)
    return files if files and name in _bound(_own(module).read_text(encoding="utf-8")) else set()


@cache
def _bound(text: str) -> set[str]:
    """Name what a module defines, and what it uses."""
    tree = ast.parse(text)
    bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return bound | {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}


def _lost(path: Path, statement: _Import) -> set[Path]:
    raise ImportError(f"{path}, line {statement.line}: `{statement.source}` leads to no file of {PACKAGE.name}")


def _text(part: object) -> str:
    """Write out a syntax tree. `ast.dump` does so too, but its output depends on the version of Python."""
    if isinstance(part, ast.AST):
        # newer versions have more fields, which are empty in code that older ones can read
        fields = [f"{name}={_text(value)}" for name, value in ast.iter_fields(part) if value not in (None, [])]
        return f"{type(part).__name__}({', '.join(fields)})"
    if isinstance(part, list):
        return f"[{', '.join(map(_text, part))}]"
    return repr(part)


def _strip_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        node.body = node.body[1:]
