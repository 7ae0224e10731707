"""What `make adopt` changes in files that people write."""

from scripts.adopted_texts import with_names, without_dead_links, without_pages, without_targets

MAKEFILE = """\
RUN := .venv/bin

# Of both of them.
.PHONY: demo
demo: setup ## Watch
	run demo

.PHONY: demo-fair
demo-fair: export A := 1
demo-fair: setup ## Compare
	run fair
"""

MKDOCS = """\
site_name: x

nav:
  - Home: index.md
  - Try:
      - Demo: demo.md
  - More:
      - A: a.md
      - B: b.md

extra:
  - toc:
"""


def test_a_target_goes_with_its_comment() -> None:
    """Another target whose name begins in the same way stays."""
    assert without_targets(MAKEFILE, {"demo"}) == MAKEFILE.replace(
        "# Of both of them.\n.PHONY: demo\ndemo: setup ## Watch\n\trun demo\n\n", ""
    )


def test_a_section_goes_with_its_last_page() -> None:
    """A section of the navigation that holds another page stays, and so does the rest of the file."""
    assert without_pages(MKDOCS, {"demo.md", "a.md"}) == MKDOCS.replace(
        "  - Try:\n      - Demo: demo.md\n", ""
    ).replace("      - A: a.md\n", "")


def test_a_dead_link_becomes_plain_text() -> None:
    """Links that lead somewhere stay; a picture that isn't there goes."""
    text = "[a](a.md#b) [`b`](../b.py) ![p](p.png) [c](https://example.com/c.md)"
    left = without_dead_links(text, "docs/page.md", lambda path: path == "docs/a.md")
    assert left == "[a](a.md#b) `b`  [c](https://example.com/c.md)"


def test_examples_name_the_companys_code_locations() -> None:
    """With only one code location the second one of an example has a name that says so."""
    text = "[code-location-a, code-location-b]"
    assert with_names(text, ["billing", "shop"]) == "[billing, shop]"
    assert with_names(text, ["billing"]) == "[billing, another-location]"
