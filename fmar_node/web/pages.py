"""Pages for people: start page, records, queries, code lists, problems. Everything is escaped by the template engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, select_autoescape

from fmar_node import __version__
from fmar_node.errors import PROBLEMS
from fmar_node.kinds import KINDS, Kind
from fmar_node.node import Node
from fmar_node.read import Shown
from fmar_node.vocabulary import Document, Scheme, Term, TermKind

TEMPLATES = Environment(
    loader=PackageLoader("fmar_node.web"), autoescape=select_autoescape(default=True), trim_blocks=True, lstrip_blocks=True
)
NAMED_BY = ("assetName", "organisationLegalName", "queryTitle", "userName")
UNITS = {"KiloW": "kW", "KiloW-HR": "kWh", "KiloV": "kV", "M": "m"}


def page_of(name: str, node: Node, **given: Any) -> str:
    """A template, filled."""
    root = urlsplit(node.settings.base_url).path
    return TEMPLATES.get_template(name).render(node=node, base=node.settings.base_url, root=root, software=__version__, **given)


def start_page(node: Node) -> str:
    return page_of("start.html", node, kinds=KINDS, counts=node.register.counts(), schemes=sorted(node.vocabulary.schemes))


def record_page(node: Node, kind: Kind, shown: Shown) -> str:
    rows = [_row(node, name, value) for name, value in shown.document.items() if name not in ("id", "type")]
    return page_of("record.html", node, kind=kind, document=shown.document, rows=rows, called=name_of(shown.document))


def list_page(node: Node, kind: Kind, items: Sequence[Document], following: str, query: str) -> str:
    """A page of a list: of each record its name, and the fields that lists are narrowed by."""
    shown = [{"link": _link(node, item["id"]), "name": name_of(item), "fields": _fields(node, kind, item)} for item in items]
    return page_of("list.html", node, kind=kind, items=shown, next=_link(node, following), query=f"{query}&" if query else "")


def name_of(document: Document) -> str:
    """What a record is called, where it has a name; the end of its address otherwise."""
    return next((str(document[term]) for term in NAMED_BY if term in document), document["id"].rpartition("/")[2])


def _fields(node: Node, kind: Kind, item: Document) -> list[dict[str, str]]:
    rows = [_row(node, name, item[name]) for name in kind.filters if name in item]
    return [{"label": row["term"].label, "text": ", ".join(value["text"].rpartition("/")[2] for value in row["values"])} for row in rows]


def _row(node: Node, name: str, value: Any) -> dict[str, Any]:
    term = node.vocabulary.terms[name]
    values = value if isinstance(value, list) else [value]
    shown = [_value(node, term, each) for each in values]
    return {"term": term, "unit": UNITS.get(term.unit.rsplit("/", 1)[-1], ""), "values": shown}


def _value(node: Node, term: Term, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        inner = [_row(node, name, each) for name, each in value.items() if name not in ("id", "type")]
        return {"part": inner, "text": "", "link": ""}
    if term.kind is TermKind.CODE:
        code = node.vocabulary.schemes[term.scheme].codes.get(value)
        label = f"{code.label} ({value})" if code else str(value)
        return {"text": label, "link": _link(node, f"{node.settings.base_url}/codes/{term.scheme}"), "part": None}
    return {"text": str(value), "link": _link(node, value) if term.kind is TermKind.RECORD else "", "part": None}


def _link(node: Node, iri: str) -> str:
    """An own IRI as a path, so that a page works through an agent or a proxy too."""
    base = node.settings.base_url
    return urlsplit(base).path + iri.removeprefix(base) if iri.startswith(f"{base}/") else iri


def codes_page(node: Node, scheme: Scheme) -> str:
    return page_of("codes.html", node, scheme=scheme)


def signin_page(node: Node, **given: Any) -> str:
    return page_of("signin.html", node, **given)


def session_page(node: Node, **given: Any) -> str:
    return page_of("session.html", node, **given)


def problem_page(node: Node, code: str) -> str:
    return page_of("problem.html", node, code=code, problem=PROBLEMS[code])
