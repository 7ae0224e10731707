"""Which queued runs may start: examples, and what holds for every queue."""

from collections.abc import Iterator, Mapping, Sequence

from clt_queued_run_coordinator.policy.admission import admit
from clt_queued_run_coordinator.policy.claims import Claim, Claims
from clt_queued_run_coordinator.policy.queued_run import QueuedRun
from clt_queued_run_coordinator.policy.room import Room
from hypothesis import given
from hypothesis import strategies as st

Queues = Mapping[str, Sequence[QueuedRun]]


def claims(queues: Queues, room: Mapping[str, int | None]) -> Claims:
    """The claims of code locations with nothing in progress."""
    return Claims({name: Claim(startable=len(runs), limit=room[name]) for name, runs in queues.items()})


def admitted(
    queues: Queues, room: Mapping[str, int | None], slots: int | None, held: frozenset[int] = frozenset()
) -> list[int]:
    """The runs that start by priority and age, in their order."""
    waiting: dict[str, Iterator[QueuedRun]] = {
        name: iter(sorted(runs, key=lambda run: run.place)) for name, runs in queues.items()
    }
    chosen = admit(waiting, Room(claims(queues, room), slots), lambda _name, run: run.storage_id not in held).runs
    return [run.storage_id for _, run in chosen]


def test_the_oldest_go_first_across_code_locations() -> None:
    """Dagster's own order."""
    queues = {"a": [QueuedRun(0, 1), QueuedRun(0, 4)], "b": [QueuedRun(0, 2), QueuedRun(0, 3)]}
    assert admitted(queues, {"a": None, "b": None}, 3) == [1, 2, 3]


def test_priority_goes_before_age() -> None:
    """Dagster's own order."""
    queues = {"a": [QueuedRun(0, 1), QueuedRun(5, 9)], "b": [QueuedRun(5, 7)]}
    assert admitted(queues, {"a": None, "b": None}, None) == [7, 9, 1]


def test_what_is_held_takes_no_place() -> None:
    """Three are held, five others could start: three of these do."""
    queues = {"a": [QueuedRun(0, number) for number in range(1, 9)]}
    assert admitted(queues, {"a": 3}, None, frozenset({1, 2, 3})) == [4, 5, 6]
    assert admitted(queues, {"a": None}, 3, frozenset({1, 2, 3})) == [4, 5, 6]


runs = st.builds(QueuedRun, st.integers(-2, 2), st.integers(1, 10_000), st.just(1))
queues_of_some = st.dictionaries(
    st.sampled_from("abcdef"), st.lists(runs, max_size=12, unique_by=lambda run: run.storage_id), min_size=1
)


@given(queues_of_some, st.data())
def test_limits_and_slots_hold_and_nothing_idles(queues: Queues, data: st.DataObject) -> None:
    """Never more than there is room for; and where there is room, nothing waits that could start."""
    room = {name: data.draw(st.none() | st.integers(1, 5), label=f"room of {name}") for name in queues}
    slots = data.draw(st.none() | st.integers(0, 20), label="slots")
    ids = [run.storage_id for of_it in queues.values() for run in of_it]
    held = frozenset(data.draw(st.sets(st.sampled_from(ids)), label="held")) if ids else frozenset()
    chosen: dict[str, list[int]] = {name: [] for name in queues}
    for name, run in admit(
        {name: iter(sorted(of_it, key=lambda run: run.place)) for name, of_it in queues.items()},
        Room(claims(queues, room), slots),
        lambda _name, run: run.storage_id not in held,
    ).runs:
        chosen[name].append(run.storage_id)
    total = sum(map(len, chosen.values()))
    assert slots is None or total <= slots
    for name, taken in chosen.items():
        limit = room[name]
        startable = [
            run.storage_id for run in sorted(queues[name], key=lambda run: run.place) if run.storage_id not in held
        ]
        assert taken == startable[: len(taken)]
        assert limit is None or len(taken) <= limit
        if slots is None or total < slots:
            assert len(taken) == (len(startable) if limit is None else min(limit, len(startable)))
