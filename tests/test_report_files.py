"""A report's files: complete, the same bytes again, and inert whatever somebody wrote into a block."""

import hashlib
import io
import json
import re
import zipfile
from html.parser import HTMLParser
from typing import Any

import pytest
from pypdf import PdfReader
from sqlalchemy import Engine

from backend.canonical import sha256
from backend.reports import blocks, charts, files, html, latex, markdown, prose, review, words
from backend.stage import UserError
from db import reads, writes
from tests.report_data import engine, small_home

__all__ = ["engine", "small_home"]  # fixtures

EVIL = "<script>alert('x')</script><img src=http://evil.example/a.png onerror=alert(1)>"
MARKS = "\\input{/etc/passwd} $x^2$ #panic() `` ``` |a|b| **bold** _under_ %\n\\end{document}"
CASE = {
    "prompt": EVIL,
    "settings": {"temperature": 0},
    "answers": [
        {"model": "base <b>", "run": 1, "text": "It is 56.", "leaks": [[6, 8]]},
        {"model": "unlearned", "run": None, "text": f"{EVIL}\n{MARKS}", "leaks": ["x^2"]},
    ],
}
TEXT = f"""# Heading

**Bold** and *slanted* with `code` and [a link](https://example.org) and [none](javascript:alert(1)).

- one
- two

| a | b |
| --- | --- |
| 1 | 2 |

![picture](http://evil.example/b.png) {EVIL}
"""


@pytest.fixture
def whole(engine: Engine) -> dict[str, Any]:
    """A frozen and decided report with a block of every kind, hostile words in all of them."""
    report = review.begin_review(engine, "quick", f"Review {EVIL} {MARKS.split()[0]}", "A")
    writes.add_block(engine, report, "case", f"Case {EVIL}", CASE)
    writes.add_block(engine, report, "text", "Words \\undefined{", {"text": TEXT})
    table = {"columns": ["a", EVIL], "rows": [[1, MARKS], [2.5, None]], "caption": EVIL}
    writes.add_block(engine, report, "table", "Table & more", table)
    review.freeze(engine, report, "A <b>")
    writes.decide(engine, report, "reject", "B </pre>", f"Because {EVIL} {MARKS}")
    found = reads.report(engine, report)
    return files.document(
        review.payload(found), found["sha256"], reads.report_events(engine, report)
    )


class Tags(HTMLParser):
    """Every tag with its attributes, and all text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def parsed(text: str) -> Tags:
    found = Tags()
    found.feed(text)
    return found


def test_the_page_runs_nothing_loads_nothing_and_holds_every_word(whole: dict[str, Any]) -> None:
    text = files.html(whole).decode()
    found = parsed(text)
    names = {name for name, _ in found.tags}
    assert not names & {
        "script",
        "img",
        "iframe",
        "object",
        "embed",
        "link",
        "base",
        "form",
        "image",
    }
    for name, given in found.tags:
        assert not [key for key in given if key.startswith("on") or key in ("src", "srcset")], name
        address = given.get("href") or given.get("xlink:href") or ""
        # A link is followed by who clicks it; nothing else names an address.
        assert name == "a" or address.startswith("#") or not address, (name, address)
        assert not address.startswith("javascript"), address
    policy = [g.get("content") for n, g in found.tags if g.get("http-equiv")]
    assert policy and "default-src 'none'" in str(policy[0])
    said = "".join(found.words)
    assert said.count("<script>alert('x')</script>") >= 6  # there, and only as words
    assert "Rejected" in said and whole["sha256"] in said
    assert names >= {"svg", "table", "details", "mark"}
    assert not re.findall(r"(?:url\((?!#)|@import)", text)


def test_the_frozen_text_in_the_page_has_the_hash(whole: dict[str, Any]) -> None:
    import base64

    found = parsed(files.html(whole).decode())
    [data] = [g["href"] for n, g in found.tags if g.get("download")]
    text = base64.b64decode(str(data).partition("base64,")[2]).decode()
    assert sha256(text) == whole["sha256"]
    assert [one["title"] for one in json.loads(text)["blocks"]] == [
        b["title"] for b in whole["blocks"]
    ]


def fonts(page: Any) -> dict[str, bool]:
    """The fonts of a page and of the pictures on it, and whether each is embedded."""
    found: dict[str, bool] = {}

    def look(resources: Any) -> None:
        held = resources.get_object()
        for font in held.get("/Font", {}).get_object().values() if "/Font" in held else ():
            one = font.get_object()
            inner = one["/DescendantFonts"][0].get_object() if "/DescendantFonts" in one else one
            told = inner["/FontDescriptor"].get_object()
            found[str(one["/BaseFont"])] = any(f"/FontFile{n}" in told for n in ("", "2", "3"))
        for thing in held.get("/XObject", {}).get_object().values() if "/XObject" in held else ():
            one = thing.get_object()
            if "/Resources" in one:
                look(one["/Resources"])

    look(page["/Resources"])
    return found


def test_the_pdf_has_real_text_and_its_fonts_in_it(whole: dict[str, Any]) -> None:
    read = PdfReader(io.BytesIO(files.pdf(whole)))
    embedded = {name: held for page in read.pages for name, held in fonts(page).items()}
    assert embedded and all(embedded.values()), embedded
    text = " ".join(" ".join(page.extract_text() for page in read.pages).split())
    for said in ("What lasts, and what it costs", "Utility (", "MaxEnt", "Rejected", "<script>alert", "#panic()", "What the numbers mean"):  # fmt: skip
        assert said in text, said
    assert whole["sha256"][:32] in text.replace(" ", "")
    assert str(read.metadata.title).startswith("Review <script>")


def test_the_zip_holds_words_figures_data_and_their_hashes(whole: dict[str, Any]) -> None:
    with zipfile.ZipFile(io.BytesIO(files.bundle(whole))) as found:
        held = {name: found.read(name) for name in found.namelist()}
    manifest = json.loads(held["manifest.json"])
    assert (
        manifest["sha256"]
        == whole["sha256"]
        == hashlib.sha256(held["data/frozen.json"]).hexdigest()
    )
    assert set(manifest["files"]) == set(held) - {"manifest.json"}
    for name, told in manifest["files"].items():
        assert hashlib.sha256(held[name]).hexdigest() == told
    assert (
        held["figures/figure2.png"].startswith(b"\x89PNG")
        and b"<svg" in held["figures/figure2.svg"]
    )
    assert held["figures/figure2.pdf"].startswith(b"%PDF") and held["figures/figure2.pdf"].count(
        b"FontFile"
    )
    assert b"configuration" in held["data/block2.csv"].splitlines()[0]
    assert (
        b"figures/figure2.pdf" in held["report.tex"] and b"figures/figure2.svg" in held["report.md"]
    )
    rows = json.loads(held["data/block2.json"])["data"]
    assert len(held["data/block2.csv"].splitlines()) == len(rows) + 1


def test_every_file_is_the_same_bytes_again(whole: dict[str, Any]) -> None:
    for write in (files.html, files.pdf, files.bundle):
        assert write(whole) == write(whole), write.__name__


def test_no_word_of_a_block_is_a_latex_command(whole: dict[str, Any]) -> None:
    text = latex.report(whole, {1: "figures/figure2"})
    body = text.partition(r"\begin{document}")[2]
    assert (
        body.count(r"\end{document}") == 1 and r"\input" not in body and r"\undefined" not in body
    )
    assert r"\textbackslash{}input\{/etc/passwd\}" in body
    depth = 0
    for sign in re.sub(r"\\[\\{}%&#$_]", "", body):
        depth += {"{": 1, "}": -1}.get(sign, 0)
        assert depth >= 0
    assert depth == 0
    opened = re.findall(r"\\begin\{(\w+)\}", body)
    assert sorted(opened) == sorted(
        name for name in re.findall(r"\\end\{(\w+)\}", body) if name != "document"
    )
    for line in body.splitlines():
        assert not re.search(r"(?<!\\)[%#_^]", line), line


def test_an_answer_that_holds_our_own_signs_is_marked_where_it_leaks_alone() -> None:
    answer = {"model": "m", "text": "a ⟦ x⟧y}\n[leak\nover] * end\n", "leaks": ["leak\nover"]}
    told = latex._case({"prompt": "p", "answers": [answer]}).partition("{m}")[2].strip()
    said = r"a ⟦ x⟧y\}\newline {[}\underline{\textbf{leak}}\newline \underline{\textbf{over}}{]} {*} end"
    assert told == r"{\ttfamily\RaggedRight " + said + r"\par}"


def test_spaces_around_what_is_marked_and_empty_lines_stay() -> None:
    cut = [("It is ", False), (" 56 ", True), ("\r\n\r\nof ", False), ("\n", True)]
    inner = r"It is \underline{\textbf{ 56 }}\newline \mbox{}\newline of"
    assert latex.marked(cut) == r"{\ttfamily\RaggedRight " + inner + r"\par}"
    assert latex.lines("") == r"{\ttfamily\RaggedRight \mbox{}\par}"


def test_no_word_of_a_block_is_markup_in_markdown(whole: dict[str, Any]) -> None:
    from markdown_it import MarkdownIt

    text = markdown.report(whole, {1: "figures/figure2"})
    rendered = parsed(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))
    names = [name for name, _ in rendered.tags]
    assert "script" not in names and names.count("img") == 1  # the figure, by its file's name
    [image] = [given for name, given in rendered.tags if name == "img"]
    assert image["src"] == "figures/figure2.svg"
    assert names.count("h1") == 2  # the title, and the one that the reviewers wrote


def test_prose_keeps_plain_markdown_and_nothing_that_loads_or_runs() -> None:
    found = parsed(prose.html(TEXT))
    names = {name for name, _ in found.tags}
    assert names == {
        "h3",
        "p",
        "strong",
        "em",
        "code",
        "a",
        "ul",
        "li",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    }
    links = [given["href"] for name, given in found.tags if name == "a"]
    assert "https://example.org" in links and not any("javascript" in str(one) for one in links)


@pytest.mark.parametrize("kind", ["text", "chart", "table", "case", "gates"])
def test_a_block_without_anything_in_it_is_drawn(kind: str) -> None:
    assert html.block(kind, {}, live=True).startswith('<div class="rep">')


def test_leaks_are_marked_by_place_or_by_word_and_never_twice() -> None:
    text = "56 is 56"
    assert words.pieces(text, [[0, 2]]) == [("56", True), (" is 56", False)]
    assert words.pieces(text, ["56"]) == [("56", True), (" is ", False), ("56", True)]
    assert words.pieces(text, [[0, 4], [2, 99], {"start": 3, "end": 4}]) == [
        ("56 i", True),
        ("s 56", True),
    ]
    assert words.pieces(text, None) == words.pieces(text, True) == [(text, False)]
    assert "".join(piece for piece, _ in words.pieces(text, [[5, 2], [-3, 1]])) == text


@pytest.mark.parametrize(
    "bad",
    [
        {"data": {"url": "http://evil.example/data.csv"}, "mark": "point"},
        {"data": {"values": []}, "mark": {"type": "image", "url": "http://evil.example/x.png"}},
        {"layer": [{"mark": "point", "encoding": {"href": {"field": "a"}}}]},
        {},
        None,
        [],
    ],
)
def test_a_chart_that_would_load_something_is_refused(bad: Any) -> None:
    with pytest.raises(UserError):
        blocks.checked("chart", {"spec": bad})
    with pytest.raises(UserError):
        charts.for_page(bad, "light")


def test_data_may_have_any_names() -> None:
    spec = {
        "data": {"values": [{"url": "x", "href": EVIL}]},
        "mark": "point",
        "encoding": {"y": {"field": "href"}},
    }
    assert blocks.checked("chart", {"spec": spec})["spec"] == spec
    drawn = charts.svg(spec)
    assert "<script" not in drawn and "&lt;script&gt;" in drawn


def test_a_dark_page_has_light_words_and_paper_dark_ones(engine: Engine) -> None:
    review.begin_review(engine, "quick")
    spec = reads.report(engine, 1)["blocks"][1]["content"]["spec"]
    assert "#444444" in json.dumps(spec) and "#cccccc" not in json.dumps(spec)
    assert "#cccccc" in json.dumps(charts.for_page(spec, "dark"))
    assert "#cccccc" not in json.dumps(charts.for_paper(charts.for_page(spec, "dark")))
    assert charts.for_page(spec, "light", large=True)["config"]["axis"]["labelFontSize"] > 15


def test_an_open_reports_files_say_so(engine: Engine) -> None:
    report = review.begin_review(engine, "quick")
    found = reads.report(engine, report)
    told = files.document(review.payload(found), None, reads.report_events(engine, report))
    assert b"not frozen" in files.html(told)
    assert "not frozen" in PdfReader(io.BytesIO(files.pdf(told))).pages[0].extract_text()
    with zipfile.ZipFile(io.BytesIO(files.bundle(told))) as zipped:
        assert "data/frozen.json" not in zipped.namelist()
