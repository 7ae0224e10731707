"""How many slots a run takes. Pure.

A run takes as many slots as its largest need in units of a slot, rounded up, and at least one. What it needs is
what Kubernetes reserves for its container: of each resource the request in its own tags, else that of its code
location's user deployment, else the limit in its own tags. Its tag `slots` can only add to that. Once a submit has
written what the run takes, that counts in place of `slots`, and again only adds. So whatever tags are written,
nobody makes a run smaller than what it asks for.
"""

import json
import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import ceil
from typing import Any, NamedTuple

from clt_queued_run_coordinator.config.kinds import LARGEST_WHOLE_NUMBER
from clt_queued_run_coordinator.config.options import CodeLocationLimits
from clt_queued_run_coordinator.config.quantity import amount
from clt_queued_run_coordinator.config.tag import RESOURCES_TAGS, SLOTS_TAG, TAKES_SLOTS_TAG
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION
from clt_queued_run_coordinator.text.safe import safe

SIZE_TAGS = (TAKES_SLOTS_TAG, SLOTS_TAG, *RESOURCES_TAGS)
"""The keys of the tags that a run's size depends on."""

_WHOLE = re.compile(r"0*([1-9][0-9]{0,9})")
_SHOWN = 60
"""The most characters of a wrong value that a message shows."""

_KNOWN_AT_MOST = 2_000
"""The most sizes that are remembered, each of a code location and the tags of its runs."""

_KNOWN_LENGTH = 10_000
"""The most characters of such tags; those of longer ones are worked out each time."""


class Size(NamedTuple):
    """The slots that a run takes, and what is wrong in its tags, in one line each. What is wrong doesn't count."""

    slots: int
    wrong: tuple[str, ...] = ()


_ONE = Size(1)


def size(limits: CodeLocationLimits, code_location: str, tags: Mapping[str, str]) -> Size:
    """The size of a run of a code location, by the values of its `SIZE_TAGS`; 1 where no `slot` is configured."""
    if limits.slot is None:
        return _ONE
    asked = tuple(tags.get(key) for key in SIZE_TAGS)
    known = limits.known_sizes
    found: Size | None = known.get((code_location, asked))
    if found is None:
        if len(known) >= _KNOWN_AT_MOST:
            known.clear()
        needs = None if code_location == NO_CODE_LOCATION else limits.entry(code_location).run_needs
        found = _size(limits.slot, needs or {}, asked)
        if sum(len(value or "") for value in asked) <= _KNOWN_LENGTH:
            known[code_location, asked] = found
    return found


def slots_of(limits: CodeLocationLimits, code_location: str, tags: Mapping[str, str]) -> int:
    """How many slots a run of a code location takes; see `size`."""
    return size(limits, code_location, tags).slots


def tag_of_submit(limits: CodeLocationLimits, code_location: str, tags: Mapping[str, str]) -> dict[str, str]:
    """The tag that fixes a run's size when it is queued; empty where no `slot` is configured.

    A run that is executed again brings the tag of its parent, which doesn't count.
    """
    if limits.slot is None:
        return {}
    own = {key: value for key, value in tags.items() if key != TAKES_SLOTS_TAG}
    return {TAKES_SLOTS_TAG: str(slots_of(limits, code_location, own))}


def _size(slot: Mapping[str, Fraction], run_needs: Mapping[str, Fraction], asked: tuple[str | None, ...]) -> Size:
    taken, wanted, config, older = asked
    wrong: list[str] = []
    requests, most = _own(config, older, slot, wrong)
    needs = {**most, **run_needs, **requests}
    of_resources = (ceil(needs[name] / held) for name, held in slot.items() if name in needs)
    by_submit, by_user = _whole(TAKES_SLOTS_TAG, taken, wrong), _whole(SLOTS_TAG, wanted, wrong)
    return Size(min(max([by_submit or by_user or 1, *of_resources]), LARGEST_WHOLE_NUMBER), tuple(wrong))


def _whole(key: str, value: str | None, wrong: list[str]) -> int | None:
    match = None if value is None else _WHOLE.fullmatch(value.strip(" "))
    if value is not None and not match:
        wrong.append(f"the tag {key} is {safe(value, _SHOWN)!r}; it must be a whole number of slots, 1 or more")
    return int(match[1]) if match else None


def _own(
    config: str | None, older: str | None, names: Iterable[str], wrong: list[str]
) -> tuple[dict[str, Fraction], dict[str, Fraction]]:
    """The requests and the limits in a run's own tags of the resources with these names."""
    of_config, of_older = (
        _object(key, value, wrong) for key, value in zip(RESOURCES_TAGS, (config, older), strict=True)
    )
    container = next(
        (_part(of_config, key) for key in ("container_config", "containerConfig") if key in of_config), {}
    )
    resources = of_older or _part(container, "resources")
    requests, most = (_amounts(kind, _part(resources, kind), names, wrong) for kind in ("requests", "limits"))
    return requests, most


def _object(key: str, value: str | None, wrong: list[str]) -> Mapping[str, Any]:
    try:
        found = json.loads(value) if value is not None else {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        wrong.append(f"the tag {key} is no JSON object; write one")
        return {}
    return found


def _part(of: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = of.get(key)
    return part if isinstance(part, dict) else {}


def _amounts(kind: str, written: Mapping[str, Any], names: Iterable[str], wrong: list[str]) -> dict[str, Fraction]:
    asked = {name: value for name in names if (value := written.get(name)) is not None}
    found = {name: _amount(f"{kind}.{name}", value, wrong) for name, value in asked.items()}
    return {name: value for name, value in found.items() if value is not None}


def _amount(what: str, value: Any, wrong: list[str]) -> Fraction | None:
    try:
        return amount(value)
    except ValueError as error:
        wrong.append(f"{safe(what, _SHOWN)} in its tags is {safe(value, _SHOWN)!r}; {error}")
        return None
