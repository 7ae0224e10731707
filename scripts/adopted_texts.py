"""What `make adopt` changes in files that people write: text in, text out."""

import posixpath
import re
from collections.abc import Callable, Sequence

_PART = re.compile(
    r"(?P<begin>^[ \t]*# |<!-- )only (?P<where>in the template|with the coordinator's source): begin(?: -->)?\n?"
    r"(?P<content>.*?)(?:^[ \t]*# |<!-- )only (?P=where): end(?: -->)?\n?",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"!?\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<path>[^)\s:#]+)(?:#[^)\s]*)?\)")


def kept(text: str, *, source: bool) -> str:
    """A text without the parts that are marked as the template's own, and without the marks of the others.

    Args:
        text: A Makefile, a Dockerfile, YAML, TOML or Markdown.
        source: Whether the coordinator's source is there.
    """

    def content(part: re.Match[str]) -> str:
        return part["content"] if source and part["where"] == "with the coordinator's source" else ""

    return _PART.sub(content, text)


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


def slug(org: str) -> str:
    """A company's name as a part of a package's name."""
    return re.sub(r"[^a-z0-9]+", "-", org.lower()).strip("-")
