"""Fingerprints of code: they change when what a script computes may change, not when its comments do."""

from __future__ import annotations

import ast
import hashlib
from functools import lru_cache
from pathlib import Path

PACKAGE = Path(__file__).parent


def of_script(script: str | Path) -> str:
    """Digest a script and the modules of this package that it imports, directly or through one another.

    The digest is over syntax trees without docstrings: comments, docstrings and formatting do not count.

    Parameters
    ----------
    script
        A Python file.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    seen: dict[str, str] = {}
    waiting = [Path(script)]
    while waiting:
        path = waiting.pop()
        # the name, not the path: a copy of the repository elsewhere has the same fingerprint
        name = f"{PACKAGE.name}.{path.stem}" if path.parent == PACKAGE else path.name
        if name in seen:
            continue
        digest, imported = _read(path, path.stat().st_mtime_ns)
        seen[name] = digest
        waiting += [PACKAGE / f"{name}.py" for name in imported]
    text = "\n".join(f"{name} {digest}" for name, digest in sorted(seen.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@lru_cache
def _read(path: Path, _changed: int) -> tuple[str, tuple[str, ...]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE.name:
            parts = node.module.split(".")[1:]
            imported |= set(parts[:1]) if parts else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            imported |= {a.name.split(".")[1] for a in node.names if a.name.startswith(f"{PACKAGE.name}.")}
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _strip_docstring(node)
    digest = hashlib.sha256(_text(tree).encode()).hexdigest()
    return digest, tuple(sorted(name for name in imported if (PACKAGE / f"{name}.py").is_file()))


def _text(part: object) -> str:
    """Write a syntax tree out. `ast.dump` does so too, but differently from one version of Python to the next."""
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
