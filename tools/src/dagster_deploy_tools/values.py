"""The values of one or several files, merged as Helm merges its `-f` files, each with its file and line."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import Any

from clt_queued_run_coordinator.operate.finding import Finding

from dagster_deploy_tools.yaml_file import Block, Items, Path, read_yaml

USER_DEPLOYMENTS = "dagster-user-deployments"


@dataclass
class Values:
    """Values of a chart.

    Attributes:
        data: The values.
        place: The place of them all: their last file, or the key of the chart that they belong to.
        findings: What is wrong with the files themselves, such as a key that one holds twice.
    """

    data: Block
    place: str
    findings: list[Finding] = field(default_factory=list)

    def get(self, *path: str | int) -> Any:
        """The value at a path, None where there is none."""
        value: Any = self.data
        for part in path:
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return value

    def block(self, *path: str | int) -> Block:
        """The mapping at a path, an empty one where there is none."""
        value = self.get(*path)
        return value if isinstance(value, Block) else Block()

    def items(self, *path: str | int) -> list[tuple[str | int, Any]]:
        """The items of the list at a path, or of a mapping, over which templates range in the same way."""
        value = self.get(*path)
        return list(
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
        )

    def where(self, *path: str | int) -> str:
        """File and line of a path, or of the nearest key above it that is written."""
        place = self.place
        value: Any = self.data
        for part in path:
            if not isinstance(value, Block | Items) or part not in value.places:
                break
            place, value = value.places[part], value[part]  # type: ignore[index]
        return place

    def finding(self, path: Path, what: str, cure: str) -> Finding:
        """A finding at a path."""
        return Finding(what=what, where=self.where(*path), cure=cure)


def read_values(files: Sequence[File]) -> Values:
    """Read values files in the order in which `helm upgrade -f` takes them.

    Raises:
        HelmInputError: A file can't be read, is not YAML or is not a mapping.
    """
    values = Values(Block(), "")
    for file in files:
        document = read_yaml(file)
        values = Values(merged(values.data, document.data), str(file), [*values.findings, *document.findings])
    return values


def merged(base: Block, update: Block, *, drop_nulls: bool = False) -> Block:
    """Mappings merge, whatever else is replaced, lists too.

    Args:
        base: What gives way. Neither of the two is changed: aliases may stand for parts of them.
        update: What wins.
        drop_nulls: Whether null deletes a key, as it does in a mapping of the chart's default values.
    """
    result = Block(base)
    result.anchored |= update.anchored
    for key, value in update.items():
        old = base.get(key)
        if drop_nulls and value is None:
            result.pop(key, None)
            result.places.pop(key, None)
            continue
        if isinstance(value, Block) and isinstance(old, Block):
            result[key] = merged(old, value, drop_nulls=drop_nulls)
        else:
            result[key] = value
        if key in update.places:
            result.places[key] = update.places[key]
    return result


def with_new_names(data: Block) -> Block:
    """The values with `dagit`, the webserver's old name, merged over the new one as the chart does it."""
    result = Block(data)
    old, new = data.get("dagit"), data.get("dagsterWebserver")
    if isinstance(old, Block):
        result.pop("dagit")
        place = result.places.pop("dagit")
        result["dagsterWebserver"] = _filled(old, new) if isinstance(new, Block) else old
        result.places.setdefault("dagsterWebserver", place)
    if isinstance(data.get("ingress"), Block):
        result["ingress"] = with_new_names(data["ingress"])
    return result


def _filled(first: Block, second: Block) -> Block:
    """The first mapping, and from the second what is missing or empty in it; so does the templates' `merge`."""
    result = Block(first)
    for key, value in second.items():
        mine = result.get(key)
        if isinstance(mine, Block) and isinstance(value, Block):
            result[key] = _filled(mine, value)
        elif not mine:
            result[key] = value
            result.places[key] = second.places.get(key, "")
    return result
