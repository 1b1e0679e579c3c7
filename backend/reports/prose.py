"""Markdown of reports: parsed once, without raw HTML and without pictures, for every format that a report has."""

import re
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

Node = dict[str, Any]
HIGHEST = 3  # a block's title is an h2: headings in its text begin below it
LAST = 6
SAFE = re.compile(r"(https?://|mailto:|#|[A-Za-z0-9_./-]*(\?|$))", re.IGNORECASE)


class Safe(MarkdownIt):
    """CommonMark with tables; raw HTML and pictures, which would be loaded from elsewhere, are text."""

    def __init__(self) -> None:
        super().__init__("commonmark", {"html": False})
        self.disable(["image", "html_inline", "html_block"]).enable("table")

    def validateLink(self, url: str) -> bool:  # noqa: N802 - the parser's own name
        """Whether an address may become a link: web, mail, or a page of ours."""
        return bool(SAFE.match(url))


def html(text: str) -> str:
    """The text as HTML; tags and addresses that are not plain links are shown as they were written."""
    parser = Safe()
    tokens = parser.parse(text)
    for token in (one for top in tokens for one in [top, *(top.children or [])]):
        _tame(token)
    return str(parser.renderer.render(tokens, parser.options, {}))


def _tame(token: Token) -> None:
    if token.type in ("heading_open", "heading_close"):
        token.tag = f"h{min(int(token.tag[1]) + HIGHEST - 1, LAST)}"
    elif token.type == "link_open":
        token.attrSet("rel", "noopener noreferrer")


def tree(text: str) -> list[Node]:
    """The text as nested nodes {"kind", "children"} with "text", "level" or "address" where they have one."""
    return [_node(child) for child in SyntaxTreeNode(Safe().parse(text)).children]


def _node(found: SyntaxTreeNode) -> Node:
    node: Node = {"kind": found.type, "children": [_node(child) for child in found.children]}
    if found.type in ("text", "code_inline", "code_block", "fence"):
        node["text"] = found.content
    elif found.type == "heading":
        node["level"] = int(found.tag[1])
    elif found.type == "link":
        node["address"] = str(found.attrs.get("href", ""))
    elif found.type == "ordered_list":
        node["start"] = int(found.attrs.get("start", 1))
    return node


def escaped(text: str) -> str:
    """A text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]{}()#+!|<>~&-])", r"\\\1", text)
