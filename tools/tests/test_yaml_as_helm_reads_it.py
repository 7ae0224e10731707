"""YAML files: what Helm reads is read alike, and what it doesn't is refused in one line; as Helm 3.19 does."""

from pathlib import Path

import pytest
from dagster_deploy_tools.values import read_values
from dagster_deploy_tools.yaml_file import MOST_BYTES, MOST_LEVELS, HelmInputError, parse_yaml

from tools.tests.helm_files import VALUES, check


def refusal(content: bytes) -> str:
    """Why a file with this content is refused."""
    with pytest.raises(HelmInputError) as raised:
        parse_yaml(content, "f.yaml")
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("a: yes\nb: No\nc: on\nd: OFF\ne: y\n", {"a": True, "b": False, "c": True, "d": False, "e": True}),
        ("a: 0777\nb: 0o777\nc: 0x1F\nd: 0b11\ne: 1_000\nf: 089\n",
         {"a": 511, "b": 511, "c": 31, "d": 3, "e": 1000, "f": 89}),
        ("a: 1:30\nb: 2020-01-01\nc: 2020-99-99\nd: tRUE\n",
         {"a": "1:30", "b": "2020-01-01", "c": "2020-99-99", "d": "tRUE"}),
        ("a: 1e3\nb: .5\nc: '1'\nd: ~\ne:\n", {"a": 1000.0, "b": 0.5, "c": "1", "d": None, "e": None}),
        ("a:\t1\nb: {c: 1,\td: 2}\n", {"a": 1, "b": {"c": 1, "d": 2}}),
        ("a: !unknown 1\nb: !other {c: 1}\nd: !!str 2\n", {"a": "1", "b": {"c": 1}, "d": "2"}),
        ("base: &b {c: 1, d: 2}\na: {d: 3, <<: *b}\ne: {<<: [*b], d: 3}\n",
         {"base": {"c": 1, "d": 2}, "a": {"c": 1, "d": 2}, "e": {"c": 1, "d": 3}}),
        ("1: a\ntrue: b\n1.5: c\n", {"1": "a", "true": "b", "1.5": "c"}),
        ("\ufeffa: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
        ("# nothing\n", {}),
        (f"a: 0x{'F' * 5000}\n", {"a": f"0x{'F' * 5000}"}),  # Python doesn't print such a number
    ],
)  # fmt: skip
def test_read_as_helm_does(text: str, data: object) -> None:
    """Words, numbers, tabs, tags, merge keys, keys that aren't text."""
    assert parse_yaml(text.encode(), "f.yaml").data == data


def test_a_template_in_quotes_is_text() -> None:
    """It isn't what is wrong with the line."""
    assert refusal(b"a: '{{ tag }}' b\n").startswith("f.yaml:1: not YAML: ")


@pytest.mark.parametrize("named", ["1", "", "[{a: 1}, 1]", "text"])
def test_a_merge_key_names_mappings(named: str) -> None:
    """Helm refuses anything else; it is no key called `<<`."""
    assert refusal(f"a:\n  <<: {named}\n".encode()) == "f.yaml:2: not YAML: << must name mappings; correct it"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nimage:\n  tag: {{ .Values.tag }}\n", 3),
        ("a: 1\n{{- if .x }}\nb: 2\n{{- end }}\n", 2),
        ("a:\n  {{- toYaml .x | nindent 2 }}\n", 2),
        ("a: 1\nb: {% if x %}1{% endif %}\n", 2),
        ("a: 1\n{{ x }}\nb: 2\n", 2),
    ],
)
def test_an_unrendered_template_is_called_by_its_name(text: str, line: int) -> None:
    """With its line, and what to do."""
    message = refusal(text.encode())
    assert message.startswith(f"f.yaml:{line}: an unrendered template, '{{")
    assert message.endswith("; render the file first, and check what comes out")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1, 2\n",
         "f.yaml:1: not YAML: while parsing a flow sequence, did not find expected ',' or ']'; correct it"),
        (b"- a\n", "f.yaml:1: not a mapping of keys to values; Helm values begin with keys"),
        (b"text", "f.yaml:1: not a mapping of keys to values; Helm values begin with keys"),
        (b"a: 1\n? [b, c]\n: 2\n", "f.yaml:2: not YAML: a key must be text; correct it"),
        (b"a: 1\nnull: 2\n", "f.yaml:2: not YAML: a key must be text; correct it"),
        (b"a: &a [*a]\n", "f.yaml:1: not YAML: the alias *a is inside what it stands for; correct it"),
        (b"a: *b\n", "f.yaml:1: not YAML: the alias *b has no anchor; correct it"),
        (b"a: 1\nb: \xff\xfe\n",
         "f.yaml:2: not YAML: invalid leading UTF-8 octet (the file must be text in UTF-8); correct it"),
        (b"a: \x07\n",
         "f.yaml:1: not YAML: control characters are not allowed (the file must be text in UTF-8); correct it"),
        (b"a: {<<: [1]}\n", "f.yaml:1: not YAML: << must name mappings; correct it"),
    ],
)  # fmt: skip
def test_what_helm_refuses(content: bytes, message: str) -> None:
    """In one line with its place."""
    assert refusal(content) == message


@pytest.mark.parametrize("content", [b"a: " + b"[" * 5000 + b"]" * 5000, b"a: " + b"{a: " * 5000, b"? " * 5000])
def test_thousands_of_levels(content: bytes) -> None:
    """They are refused before they are read."""
    assert f"more than {MOST_LEVELS} levels" in refusal(content)


def test_aliases_of_aliases() -> None:
    """A small file that stands for millions of values is refused at the line where they become too many."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]" for number in range(1, 10)]
    assert refusal("\n".join(lines).encode()).startswith("f.yaml:5: more than 100000 values")


def test_files_that_hold_no_values(tmp_path: Path) -> None:
    """One that isn't there, a folder, a name that can't be one, and a huge file."""
    huge = tmp_path / "huge.yaml"
    huge.write_bytes(b"a: 1\n" * (MOST_BYTES // 4))
    for file, cause in (
        (tmp_path / "none.yaml", "can't be read: No such file or directory; name another file"),
        (tmp_path, "can't be read: Is a directory; name another file"),
        (Path("a\0b"), "can't be read: embedded null byte; name another file"),
        (huge, "more than 5 MB, so no values file; name another file"),
    ):
        with pytest.raises(HelmInputError) as raised:
            read_values([file])
        assert str(raised.value) == f"{file}: {cause}"


def test_of_two_documents_helm_reads_the_first(tmp_path: Path) -> None:
    """The second one is a finding, whatever it holds; an empty end is none."""
    findings, _ = check(tmp_path, f"{VALUES}---\ndagsterWebserver: {{image: {{tag: other}}}}\n")
    assert [line.partition(":")[2] for line in findings] == [
        f"{VALUES.count(chr(10)) + 1}: another document begins here, and Helm reads only the first of a file;"
        " keep one, or make two files of them"
    ]
    assert check(tmp_path, f"---\n{VALUES}---\n")[0] == []
