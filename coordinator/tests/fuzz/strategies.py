"""What the fuzzed inputs are made of."""

from typing import Any

from hypothesis import strategies as st

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
"""Anything that JSON can hold."""


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file with some of its bytes left out, doubled or replaced."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(0, len(content) - 1)))
        end = start + draw(st.integers(0, 12))
        content[start:end] = draw(
            st.sampled_from([b"", bytes(content[start:end]) * 2])
            | st.binary(max_size=6)
            | st.text("-:{}[]&*!|>'\"%@`#?, \n\t019.eE~", max_size=6).map(str.encode)
        )
    return bytes(content)
