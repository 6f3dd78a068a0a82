"""Mistakes that other portals made in their source, looked for in every file of ours: by syntax, not by words."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = sorted(path for room in ("portal", "accounts", "omaccess", "deploy") for path in (ROOT / room).rglob("*.py"))
TEMPLATES = sorted((ROOT / "templates").rglob("*.*"))

UNSAFE_MODULES = {
    "random": "predictable: only `secrets` and version 4 of `uuid` make secrets, ids and jitter",
    "pickle": "reading one runs it",
    "marshal": "reading one runs it",
    "shelve": "reading one runs it",
    "yaml": "reading one may run it",
    "telnetlib": "in the clear",
    "xml": "entities",
}
UNSAFE_CALLS = {"eval", "exec", "compile", "uuid1", "uuid3", "getrandbits", "extra", "RawSQL", "csrf_exempt"}
TRANSLATIONS = {"_", "gettext", "gettext_lazy", "ngettext", "ngettext_lazy", "pgettext", "pgettext_lazy"}

# Texts of our own that reach `.format` by way of a table or a parameter. What is filled in is never a format.
REVIEWED_FORMATS = {
    "omaccess/models/access.py:near": "a text of our own, filled with places for parameters only",
    "omaccess/failures.py:_filled": "the catalogue's entries; a behavioural test shows that names stay names",
    "omaccess/sandbox/iam.py": "the simulated cloud's own table of messages",
    "omaccess/sandbox/callers.py": "the simulated cloud's own table of messages",
    "omaccess/audit/quick_check.py:_continue": "the canonical bytes of an event, made of the names of its fields",
    "omaccess/search/sql.py": "conditions of our own; what people type is always a parameter, with a test of braces",
    "omaccess/sandbox/om_page.py:_page": "a page from a file beside it; what is filled in is escaped",
}
# Dangerous calls that were looked at.
REVIEWED_CALLS = {
    "omaccess/models/access.py:RawSQL": "a text of our own, and every value a parameter",
    "omaccess/search/sql.py:compile": "Django's compiler of queries, asked for the name of a column",
}


def modules_imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def unsafe_imports(tree: ast.AST) -> list[str]:
    roots = [name for name in modules_imported(tree) if name.split(".")[0] in UNSAFE_MODULES]
    return roots + [name for name in modules_imported(tree) if name.endswith((".csrf_exempt", ".uuid1"))]


def unsafe_calls(tree: ast.AST) -> list[str]:
    """Calls by a name that is dangerous whatever it is called on; `re.compile` is somebody else."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        if name in UNSAFE_CALLS and owner not in {"re", "re2"}:
            found.append(f"{name} in line {node.lineno}")
        if any(keyword.arg == "verify" and _is_false(keyword.value) for keyword in node.keywords):
            found.append(f"verify=False in line {node.lineno}")
        if any(keyword.arg == "shell" and not _is_false(keyword.value) for keyword in node.keywords):
            found.append(f"shell in line {node.lineno}")
    return found


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def foreign_formats(tree: ast.AST) -> list[str]:
    """Functions in which something other than a text of our own is used as a format, by `.format` or by `%`."""
    found = []
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for scope in [tree, *functions]:
        ours = _texts_of_our_own(scope)
        name = getattr(scope, "name", "<module>")
        for node in _own_nodes(scope):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                is_format = node.func.attr in {"format", "format_map", "safe_substitute", "substitute"}
                if is_format and not _is_our_text(node.func.value, ours):
                    found.append(name)
            elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
                # Of numbers there is no telling; a text on the right, a tuple or a mapping means text on the left.
                is_text = isinstance(node.right, ast.Tuple | ast.Dict | ast.JoinedStr) or _is_our_text(node.left, ours)
                if is_text and not _is_our_text(node.left, ours):
                    found.append(name)
    return found


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions inside it."""
    todo = list(ast.iter_child_nodes(scope))
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            todo += ast.iter_child_nodes(node)


def _texts_of_our_own(scope: ast.AST) -> set[str]:
    """Names that hold nothing but literals and their translations."""
    values: dict[str, list[ast.expr]] = {}
    for node in _own_nodes(scope):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    values.setdefault(target.id, []).append(node.value)
    return {name for name, given in values.items() if all(_is_our_text(value, set()) for value in given)}


def _is_our_text(node: ast.expr, ours: set[str]) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str | bytes)
    if isinstance(node, ast.Name):
        return node.id in ours
    if isinstance(node, ast.IfExp):
        return _is_our_text(node.body, ours) and _is_our_text(node.orelse, ours)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {*TRANSLATIONS, "str"}:
        texts = node.args[: 2 if node.func.id.startswith("n") else 1]
        return all(_is_our_text(argument, ours) for argument in texts)
    return False


def in_product(look: Callable[[ast.AST], list[str]]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{found}"
        for path in PRODUCT
        if "migrations" not in path.parts
        for found in look(ast.parse(path.read_text(encoding="utf-8")))
    ]


def test_the_whole_product_is_looked_at() -> None:
    names = {str(path.relative_to(ROOT)) for path in PRODUCT}

    assert len(names) > 100
    assert {"portal/settings.py", "accounts/adapters.py", "omaccess/vault.py", "deploy/gunicorn.conf.py"} <= names


def test_nothing_predictable_or_executable_is_imported() -> None:
    assert in_product(unsafe_imports) == []


def test_nothing_is_evaluated_exempted_or_unverified() -> None:
    found = in_product(unsafe_calls)

    assert [call for call in found if call.split(" ")[0] not in REVIEWED_CALLS] == []
    assert {call.split(" ")[0] for call in found} == set(REVIEWED_CALLS)


def test_only_texts_of_our_own_are_formats() -> None:
    found = in_product(foreign_formats)
    unreviewed = [
        place for place in found if place not in REVIEWED_FORMATS and place.split(":")[0] not in REVIEWED_FORMATS
    ]
    unused = [
        place for place in REVIEWED_FORMATS if not any(name == place or name.split(":")[0] == place for name in found)
    ]

    assert unreviewed == []
    assert unused == []


@pytest.mark.parametrize(
    ("look", "source"),
    [
        (unsafe_imports, "import random"),
        (unsafe_imports, "from random import choice"),
        (unsafe_imports, "from uuid import uuid1"),
        (unsafe_imports, "from django.views.decorators.csrf import csrf_exempt"),
        (unsafe_calls, "uuid.uuid1()"),
        (unsafe_calls, "eval(text)"),
        (unsafe_calls, "requests.get(url, verify=False)"),
        (unsafe_calls, "subprocess.run(text, shell=True)"),
        (foreign_formats, "def f(t):\n    return t.format(name=1)"),
        (foreign_formats, "def f(host):\n    return host.name.format(a=1)"),
        (foreign_formats, "def f(t):\n    return gettext(t).format(a=1)"),
        (foreign_formats, "def f(t):\n    return t % (1, 2)"),
        (foreign_formats, "def f(t):\n    text = 'a'\n    text = t\n    return text.format()"),
        (foreign_formats, "def f(t, m):\n    return t.format_map(m)"),
        (foreign_formats, "def f(t):\n    return f'{t}'.format(a=1)"),
    ],
)
def test_each_mistake_would_be_found(look: Callable[[ast.AST], list[str]], source: str) -> None:
    assert look(ast.parse(source)) != []


@pytest.mark.parametrize(
    "source",
    [
        "'{a}'.format(a=1)",
        "_('{a}').format(a=1)",
        "def f():\n    text = _('{a}')\n    return text.format(a=1)",
        "7 % 2",
        "re.compile('a')",
        "uuid.uuid4()",
    ],
)
def test_what_is_no_mistake_is_not_found(source: str) -> None:
    tree = ast.parse(source)

    assert [*unsafe_imports(tree), *unsafe_calls(tree), *foreign_formats(tree)] == []


def test_no_template_turns_escaping_off_or_holds_a_script() -> None:
    unsafe = re.compile(
        r"\|\s*(safe|safeseq)\b|autoescape\s+off|<script(?![^>]*\bsrc=)[^>]*>|\son[a-z]{3,}\s*=\s*[\"']|javascript:"
    )
    found = {
        str(path.relative_to(ROOT)): match.group()
        for path in TEMPLATES
        if (match := unsafe.search(path.read_text(encoding="utf-8")))
    }

    assert len(TEMPLATES) > 20
    assert found == {}
