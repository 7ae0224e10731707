"""The option `code_location_limits` as Dagster's configuration system checks it when the coordinator is loaded."""

from typing import Any

from dagster import Array, Field, Map, Noneable, ScalarUnion, Shape
from dagster import Enum as ConfigEnum
from dagster import EnumValue as ConfigEnumValue

from clt_queued_run_coordinator.config.options import HALF_LIFE_SECONDS, QueueReading


def schema() -> Field:
    """The schema of the option. `parsing.parse` refuses what a schema can't express."""
    return Field(
        Noneable(
            Shape(
                {
                    "default": Field(
                        Noneable(ScalarUnion(int, Shape(_of_any_code_location()))),
                        is_required=False,
                        description="A limit, or an entry's keys, for each code location whose entry under"
                        " `locations` says nothing else. Code locations that are added later are included.",
                    ),
                    "locations": Field(
                        Map(
                            str,
                            ScalarUnion(int, Shape({**_of_any_code_location(), "min": _MIN})),
                            key_label_name="code_location",
                        ),
                        is_required=False,
                        description="Exceptions from the default, higher or lower: a limit, or several keys.",
                    ),
                    "groups": Field(
                        Map(str, Shape(_of_a_group()), key_label_name="group"),
                        is_required=False,
                        description="Code locations that share a limit, a weight or a minimum, such as one team's."
                        " Slots are shared between groups first, then within each.",
                    ),
                    "sharing": Field(
                        ScalarUnion(
                            scalar_type=str,
                            non_scalar_schema=Shape(
                                {
                                    "kind": Field(str, description="`fifo` or `fair`."),
                                    "half_life": Field(
                                        float,
                                        is_required=False,
                                        description="The seconds after which a code location's use counts half;"
                                        f" {HALF_LIFE_SECONDS:g} if left out; only for `fair`.",
                                    ),
                                }
                            ),
                        ),
                        is_required=False,
                        description="`fifo`, the default: Dagster's own order, by priority and then age. `fair`: a"
                        " free slot of max_concurrent_runs goes to the code location that is furthest below its"
                        " share, and among equals to the one with the least recent use.",
                    ),
                    "queue_reading": Field(
                        ConfigEnum("QueueReading", [ConfigEnumValue(choice.value) for choice in QueueReading]),
                        is_required=False,
                        description="`narrowed`, the default: the daemon reads only the queued runs that may start"
                        " now. `whole`: it reads the whole queue, as without this package, and applies the limits"
                        " as tag limits.",
                    ),
                }
            )
        ),
        is_required=False,
        description="Limits on the runs in progress of each code location.",
    )


_LIMIT = Field(
    Noneable(int),
    is_required=False,
    description="The most runs in progress at once; 0 starts none. Left out: the default's, or no limit.",
)
_WEIGHT = Field(
    float,
    is_required=False,
    description="The size of the share relative to the others', 1 if left out; only for `sharing: fair`.",
)
_MIN = Field(
    int,
    is_required=False,
    description="The slots of max_concurrent_runs reserved for it while it has queued runs that can start. At"
    " other times anybody may use them, and no run in progress is ever stopped. 0 if left out.",
)


def _of_any_code_location() -> dict[str, Field]:
    return {
        "limit": _LIMIT,
        "weight": _WEIGHT,
        "windows": Field(
            Array(
                Shape(
                    {
                        "cron": Field(str, description="When the window begins, such as `0 8 * * 1-5`."),
                        "for": Field(str, description="How long it lasts, such as `10h`."),
                        "limit": Field(int, description="The limit while it lasts; 0 starts no runs."),
                        "timezone": Field(
                            str, is_required=False, description="The cron expression's time zone; UTC if left out."
                        ),
                    }
                )
            ),
            is_required=False,
            description="Times with a different limit.",
        ),
        "max_per_job": Field(
            Noneable(
                ScalarUnion(
                    int,
                    Shape(
                        {
                            "default": Field(
                                Noneable(int), is_required=False, description="The limit of each other job."
                            ),
                            "jobs": Field(
                                Map(str, int, key_label_name="job"),
                                is_required=False,
                                description="The limits of named jobs.",
                            ),
                        }
                    ),
                )
            ),
            is_required=False,
            description="The most runs in progress at once of each job: a number, or a default and exceptions.",
        ),
        "max_per_backfill": Field(
            Noneable(int),
            is_required=False,
            description="The most runs in progress at once of each backfill.",
        ),
        "backfill_share": Field(
            Noneable(float),
            is_required=False,
            description="The fraction of starts that goes to runs of backfills while other runs wait too: 0.25 for"
            " every fourth. Left out: Dagster's order decides.",
        ),
        "max_queued": Field(
            Noneable(int),
            is_required=False,
            description="The most queued runs. A run submitted beyond that is refused and fails.",
        ),
        "breaker": Field(
            Noneable(
                Shape(
                    {
                        "failures": Field(int, description="The number of failed runs that opens it."),
                        "within": Field(
                            str,
                            is_required=False,
                            description="The period in which they count, such as `10m`. Left out: in a row.",
                        ),
                        "pause_for": Field(
                            str,
                            is_required=False,
                            description="How long the code location is paused, such as `1h`. Left out: until it is"
                            " resumed.",
                        ),
                        "manual_launches": Field(
                            bool,
                            is_required=False,
                            description="Whether manually launched runs may still start; false if left out.",
                        ),
                    }
                )
            ),
            is_required=False,
            description="A circuit breaker that pauses the code location after a number of failed runs.",
        ),
    }


def _of_a_group() -> dict[str, Any]:
    return {
        "locations": Field([str], description="The names of its code locations."),
        "limit": _LIMIT,
        "weight": _WEIGHT,
        "min": _MIN,
    }
