"""What `make adopt` changes in files that people write."""

import pytest

from scripts.adopted_texts import kept, with_names, without_dead_links

MAKEFILE = """\
# only in the template: begin
demo: setup
	run demo

# only in the template: end
lint: setup
	ruff
# only with the coordinator's source: begin
	make -C coordinator types
# only with the coordinator's source: end
	mypy
"""


@pytest.mark.parametrize(("source", "types"), [(True, "\tmake -C coordinator types\n"), (False, "")])
def test_a_marked_part_goes_with_its_marks(source: bool, types: str) -> None:
    """What the template alone has is gone; the source's part stays where the source does."""
    assert kept(MAKEFILE, source=source) == f"lint: setup\n\truff\n{types}\tmypy\n"


def test_a_part_of_a_page_is_marked_by_comments() -> None:
    """In Markdown, where nobody sees them."""
    page = "a\n<!-- only in the template: begin -->\n- b\n<!-- only in the template: end -->\nc\n"
    assert kept(page, source=True) == "a\nc\n"


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
