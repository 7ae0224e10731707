"""What `make adopt` changes in files that people write: text in, text out."""

import posixpath
import re
from collections.abc import Callable, Collection, Sequence

import tomlkit

_LINK = re.compile(r"!?\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<path>[^)\s:#]+)(?:#[^)\s]*)?\)")


def without_targets(makefile: str, targets: Collection[str]) -> str:
    """A Makefile without some targets; a target and its comment are one paragraph."""
    paragraphs = re.split(r"\n{2,}", makefile.rstrip())
    kept = [part for part in paragraphs if not (set(re.findall(r"^\.PHONY: (.*)$", part, re.M)) & set(targets))]
    return "\n\n".join(kept) + "\n"


def without_pages(mkdocs: str, pages: Collection[str]) -> str:
    """mkdocs.yml whose navigation lacks some pages, and the sections that hold no other page."""
    before, start, rest = mkdocs.partition("\nnav:\n")
    nav, end, after = rest.partition("\n\n")
    lines = [line for line in nav.splitlines() if line.rpartition(": ")[2] not in pages]
    kept = [
        line
        for line, following in zip(lines, [*lines[1:], ""], strict=True)
        if not line.endswith(":") or following.startswith("      - ")
    ]
    return before + start + "\n".join(kept) + end + after


def without_dead_links(text: str, page: str, exists: Callable[[str], bool]) -> str:
    """A Markdown page in which links to files that aren't there are plain text, and such pictures are gone.

    Args:
        text: The page.
        page: Its path in the repository.
        exists: Whether the repository has a file or folder.
    """

    def replace(link: re.Match[str]) -> str:
        if exists(posixpath.normpath(posixpath.join(posixpath.dirname(page), link["path"]))):
            return link.group()
        return "" if link.group().startswith("!") else link["text"]

    return _LINK.sub(replace, text)


def with_names(text: str, locations: Sequence[str]) -> str:
    """A text whose examples name the company's code locations instead of the samples."""
    first, second = (*locations, "another-location")[:2]
    text = text.replace("code-location-a", first).replace("code-location-b", second)
    return text.replace(": 10 + 20 here.", ".")


def with_project(pyproject: str, org: str, gone: Callable[[str], bool]) -> str:
    """The root pyproject.toml with the company's name, without what names folders that are gone."""
    document = tomlkit.parse(pyproject)
    document["project"]["name"] = f"{slug(org)}-dagster"
    document["project"]["description"] = f"The Dagster deployment of {org}"
    tool = document["tool"]
    files = tool["mypy"]["files"]
    for folder in [folder for folder in files if gone(folder)]:
        files.remove(folder)
    ignores = tool["ruff"]["lint"]["per-file-ignores"]
    for pattern in [pattern for pattern in ignores if gone(pattern.removesuffix("/**"))]:
        if "*" not in pattern.removesuffix("/**"):
            del ignores[pattern]
    return tomlkit.dumps(document)


def slug(org: str) -> str:
    """A company's name as a part of a package's name."""
    return re.sub(r"[^a-z0-9]+", "-", org.lower()).strip("-")
