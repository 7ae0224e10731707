"""A Helm chart, read from its folder or its archive."""

import io
import json
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any

from dagster_deploy_tools.values import USER_DEPLOYMENTS, merged
from dagster_deploy_tools.yaml_file import Block, HelmInputError, Path, parse_yaml


@dataclass(frozen=True)
class Chart:
    """What of a chart tells the keys it knows.

    Attributes:
        name: The chart's name.
        place: Where it was read.
        values: Its default values, over those of its subcharts.
        schema: The JSON schema of its values.
        subcharts: The charts in its folder `charts`, by the key that their values are under.
        dependencies: The keys of all charts that it depends on, whether they are there or not.
    """

    name: str
    place: str
    values: Block
    schema: dict[str, Any]
    subcharts: dict[str, "Chart"]
    dependencies: frozenset[str]

    def dagsters(self, above: Path = ()) -> Iterator[tuple[Path, "Chart"]]:
        """Each of Dagster's charts in it, be it itself, with the keys that lead to its values."""
        if "dagsterDaemon" in self.values or self.name == USER_DEPLOYMENTS:
            yield above, self
        else:
            for key, subchart in self.subcharts.items():
                yield from subchart.dagsters((*above, key))


def read_chart(path: File) -> Chart:
    """Read a chart.

    Args:
        path: The chart's folder, or its archive as `helm package` and `helm pull` write it.

    Raises:
        HelmInputError: There is no chart, or a file of it can't be read.
    """
    try:
        if path.is_dir():
            names = [file for file in path.rglob("*") if file.is_file()]
            files = {file.relative_to(path).as_posix(): file.read_bytes() for file in names if _matters(file.name)}
        else:
            files = _unpack(path.read_bytes())
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or error
        raise HelmInputError(f"{path}: the chart can't be read: {cause}; name its folder or archive") from error
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise HelmInputError(f"{path}: not a chart: neither a folder nor a .tgz archive; name one") from error
    return _chart(files, str(path))


def _matters(name: str) -> bool:
    return name in {"Chart.yaml", "values.yaml", "values.schema.json"} or name.endswith(".tgz")


def _unpack(archive: bytes) -> dict[str, bytes]:
    """The files of an archive that matter, without the folder that holds them all."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        members = [member for member in tar.getmembers() if member.isfile() and _matters(File(member.name).name)]
        contents = {member.name: tar.extractfile(member) for member in members}
        return {
            name.removeprefix("./").partition("/")[2]: content.read()
            for name, content in contents.items()
            if content
        }


def _chart(files: Mapping[str, bytes], place: str) -> Chart:
    if "Chart.yaml" not in files:
        raise HelmInputError(f"{place}: not a chart: it holds no Chart.yaml; name a chart's folder or archive")
    about = parse_yaml(files["Chart.yaml"], f"{place}/Chart.yaml").data
    listed = about.get("dependencies")
    dependencies = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    subcharts = {}
    for subchart in _subcharts(files, place):
        keys = [
            str(entry.get("alias") or subchart.name)
            for entry in dependencies
            if entry.get("name") == subchart.name
        ]
        subcharts.update(dict.fromkeys(keys or [subchart.name], subchart))
    try:
        schema = json.loads(files.get("values.schema.json", b"{}"))
    except (ValueError, RecursionError) as error:
        raise HelmInputError(f"{place}/values.schema.json: not JSON: {error}; correct it") from error
    below = Block()
    below.update({key: subchart.values for key, subchart in subcharts.items()})
    return Chart(
        name=str(about.get("name", "")),
        place=place,
        values=merged(below, parse_yaml(files.get("values.yaml", b""), f"{place}/values.yaml").data),
        schema=schema if isinstance(schema, dict) else {},
        subcharts=subcharts,
        dependencies=frozenset(str(entry.get("alias") or entry.get("name")) for entry in dependencies)
        | set(subcharts),
    )


def _subcharts(files: Mapping[str, bytes], place: str) -> Iterator[Chart]:
    for folder in sorted({name.split("/")[1] for name in files if name.startswith("charts/")}):
        inside = f"charts/{folder}"
        if inside in files:
            below = _unpack(files[inside])
        else:
            below = {
                name.removeprefix(f"{inside}/"): files[name] for name in files if name.startswith(f"{inside}/")
            }
        if "Chart.yaml" in below:
            yield _chart(below, f"{place}/{inside}")
