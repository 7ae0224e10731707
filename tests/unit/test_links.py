"""Each relative link of a Markdown file leads to a file, and to a heading in it."""

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
IMAGE = re.compile(r'<img [^>]*\bsrc="([^"]+)"')


def pages() -> list[str]:
    """The Markdown files of the repository, without those that Git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return sorted(file for file in listed.stdout.split() if (ROOT / file).exists())


def tokens(page: Path) -> Iterator[Token]:
    """Everything in a page, whether in a paragraph or around it."""
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text()):
        yield token
        yield from token.children or []


def links(page: Path) -> Iterator[str]:
    """Where the relative links and the pictures of a page lead."""
    for token in tokens(page):
        target = token.attrGet("href") or token.attrGet("src")
        found = [str(target)] if target else IMAGE.findall(token.content) if token.type == "html_block" else []
        yield from (link for link in found if not urlsplit(link).scheme)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the documentation site name them."""
    seen: Counter[str] = Counter()
    found = set()
    for heading, inline in pairwise(tokens(page)):
        if heading.type == "heading_open":
            text = "".join(part.content for part in inline.children or [])
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return found


@pytest.mark.parametrize("page", pages())
def test_each_link_leads_somewhere(page: str) -> None:
    """A link to a file of the repository finds the file, and its anchor a heading there."""
    file = ROOT / page
    dead = []
    for link in links(file):
        path, anchor = urldefrag(link)
        target = (file.parent / path).resolve() if path else file
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            dead.append(link)
    assert not dead


def test_a_dead_link_is_noticed(tmp_path: Path) -> None:
    """Links, pictures and headings are read from the page, not from its code blocks."""
    page = tmp_path / "page.md"
    page.write_text('# What is `this`?\n\n[a](b.md#c) ![d](e.png)\n\n<img src="f.png">\n\n```\n[g](h.md)\n```\n')
    assert list(links(page)) == ["b.md#c", "e.png", "f.png"]
    assert anchors(page) == {"what-is-this"}
