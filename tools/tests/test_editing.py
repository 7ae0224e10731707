"""Values set in the text of a YAML file."""

import pytest
from dagster_deploy_tools.editing import NotEditableError, with_value
from dagster_deploy_tools.yaml_file import Path


@pytest.mark.parametrize(
    ("before", "path", "after"),
    [
        ("# top\na: 1 # one\n# end\n", ("b",), "# top\na: 1 # one\nb: NEW\n# end\n"),
        ("a:\n    b: 1\n\n# of c\nc: 2\n", ("a", "d"), "a:\n    b: 1\n    d: NEW\n\n# of c\nc: 2\n"),
        ("a: old # why\n", ("a",), "a: NEW # why\n"),
        ("a:  # why\nb: 1\n", ("a", "c"), "a:  # why\n  c: NEW\nb: 1\n"),
        ("a: {}  # none\n", ("a", "b"), "a:  # none\n  b: NEW\n"),
        ("a: {b: 1}\n", ("a", "c"), "a: {b: 1, c: NEW}\n"),
        ("a: {b: 1,}\n", ("a", "c"), "a: {b: 1, c: NEW,}\n"),
        ("a: [1]\n", ("a", 1), "a: [1, NEW]\n"),
        ("a:\n- 1\n", ("a", 1), "a:\n- 1\n- NEW\n"),
        ("a: &x\n  -   b: 1\n", ("a", 1), "a: &x\n  -   b: 1\n  - NEW\n"),
        ("a:\n  - b: 1\n    c: 2\n", ("a", 0, "d"), "a:\n  - b: 1\n    c: 2\n    d: NEW\n"),
        ("a: |\n  text # no comment\n\n# b\n", ("b",), "a: |\n  text # no comment\nb: NEW\n\n# b\n"),
        ("a: &x [1]\nb: *x\n", ("b", 1), "a: &x [1]\nb:\n  - 1\n  - NEW\n"),
        ("x: &x {l: [1]}\na:\n  <<: *x\n", ("a", "l", 1),
         "x: &x {l: [1]}\na:\n  <<: *x\n  l:\n    - 1\n    - NEW\n"),
        ("a: 1", ("b",), "a: 1\nb: NEW\n"),
        ("a: 1\n---\na: 2\n", ("b",), "a: 1\nb: NEW\n---\na: 2\n"),
        ("# nothing\n", ("a", "b"), "# nothing\na:\n  b: NEW\n"),
        ("a: 1\na: 2\n", ("a",), "a: 1\na: NEW\n"),
        ("ä: '€'\n", ("ä", ), "ä: NEW\n"),
    ],
)  # fmt: skip
def test_every_other_line_stays(before: str, path: Path, after: str) -> None:
    """Comments, order, indentation and anchors are those of the file."""
    assert with_value(before, path, "NEW") == after


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a: &x\n  b: 1\nc: *x\n", ("a", "d")),
        ("a: &x 1\nc: *x\n", ("a",)),
        ("a: text\n", ("a", "b")),
        ("a: text\n", ("a", 0)),
    ],
)
def test_what_would_change_something_else(text: str, path: Path) -> None:
    """Nothing is set then: an anchor's aliases would change, or what stands in the way would be gone."""
    with pytest.raises(NotEditableError):
        with_value(text, path, "NEW")
