"""Hooks of the documentation site: links to files of the repository work on the site as they do in the repository.

`mkdocs.yml` names this module. A link to a file that isn't a page of the site leads to `repo_url`; without a
`repo_url` it becomes plain text. A link to a file that doesn't exist ends `make docs`.
"""

import logging
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<path>[^)\s:#]+)(?P<anchor>#[^)\s]*)?\)")
FENCE = re.compile(r"^ *(```|~~~)")

logger = logging.getLogger("mkdocs.hooks.docs_site")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages of the navigation that lie elsewhere in the repository.

    Args:
        files: The files of the docs folder.
        config: The site's configuration.

    Returns:
        The same files and those pages.
    """
    outside = [
        path for path in _pages(config.nav) if not files.get_file_from_path(path) and (ROOT / path).exists()
    ]
    for path in outside:
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead each link to a file of the repository to where that file can be read; the home page needs no sidebars.

    Args:
        markdown: The page's text.
        page: The page.
        config: The site's configuration.
        files: All files of the site.

    Returns:
        The text with the links rewritten.
    """
    if page.is_homepage:
        page.meta["hide"] = ["navigation", "toc"]
    replace = partial(_on_site, page=page, repo_url=config.repo_url or "", files=files)
    lines, in_code = [], False
    for line in markdown.split("\n"):
        if FENCE.match(line):
            in_code = not in_code
        lines.append(line if in_code else LINK.sub(replace, line))
    return "\n".join(lines)


def _pages(nav: Any) -> Iterator[str]:
    """The pages that a navigation, or a part of it, names."""
    if isinstance(nav, str):
        yield nav
    else:
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from _pages(part)


def _on_site(link: re.Match[str], *, page: Page, repo_url: str, files: Files) -> str:
    """The link as the site needs it."""
    source = Path(page.file.abs_src_path or "")
    target = Path(os.path.normpath(source.parent / link["path"]))
    if not target.exists():
        logger.warning("%s links to %s, which doesn't exist", source.relative_to(ROOT), link["path"])
        return link["text"]
    in_repository = target.relative_to(ROOT).as_posix()
    on_site = in_repository.removeprefix("docs/")
    if files.get_file_from_path(on_site):
        path = os.path.relpath(on_site, PurePosixPath(page.file.src_uri).parent)
        return f"[{link['text']}]({path}{link['anchor'] or ''})"
    if not repo_url:
        return link["text"]
    kind = "tree" if target.is_dir() else "blob"
    return f"[{link['text']}]({repo_url.rstrip('/')}/{kind}/main/{in_repository}{link['anchor'] or ''})"
