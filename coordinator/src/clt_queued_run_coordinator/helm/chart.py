"""A Helm chart, read from its directory or its archive."""

import io
import json
import pathlib
import tarfile
import zlib
from dataclasses import dataclass
from typing import Any

from clt_queued_run_coordinator.helm.yaml import HelmInputError, parse_yaml


@dataclass(frozen=True)
class Chart:
    """What of a chart tells the keys it knows.

    Attributes:
        name: The chart's name.
        values: Its default values.
        schema: The JSON schema of its values, None where it has none.
        templates: The text of each template.
        subcharts: The charts in its folder `charts`, by name.
    """

    name: str
    values: dict[str, Any]
    schema: dict[str, Any] | None
    templates: list[str]
    subcharts: dict[str, "Chart"]


def read_chart(path: pathlib.Path) -> Chart:
    """Read a chart.

    Args:
        path: The chart's directory, or its archive as `helm package` and `helm pull` write it.

    Raises:
        HelmInputError: There is no chart, or a file of it can't be read.
    """
    try:
        if path.is_dir():
            files = {
                file.relative_to(path).as_posix(): file.read_bytes()
                for file in sorted(path.rglob("*"))
                if file.is_file()
            }
        else:
            files = _unpack(path.read_bytes())
        if "Chart.yaml" in files:
            return _chart(files, str(path))
    except OSError as error:
        raise HelmInputError(f"{path}: the chart can't be read: {error.strerror or error}") from error
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise HelmInputError(f"{path}: not a chart: neither a directory nor a .tgz archive") from error
    raise HelmInputError(f"{path}: not a chart: it holds no Chart.yaml")


def _unpack(archive: bytes) -> dict[str, bytes]:
    """The files of an archive, without the folder that holds them all."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        contents = {member.name: tar.extractfile(member) for member in tar.getmembers() if member.isfile()}
        return {
            name.removeprefix("./").partition("/")[2]: content.read()
            for name, content in contents.items()
            if content
        }


def _chart(files: dict[str, bytes], place: str) -> Chart:
    """The chart whose files these are."""
    subcharts = {}
    for folder in sorted({name.split("/")[1] for name in files if name.startswith("charts/")}):
        inside = f"charts/{folder}"
        if inside in files:
            if not folder.endswith(".tgz"):
                continue
            below = _unpack(files[inside])
        else:
            below = {
                name.removeprefix(f"{inside}/"): content
                for name, content in files.items()
                if name.startswith(f"{inside}/")
            }
        if "Chart.yaml" in below:
            subchart = _chart(below, f"{place}/{inside}")
            subcharts[subchart.name] = subchart
    text = {name: content.decode(errors="replace") for name, content in files.items() if "/" not in name}
    try:
        schema = json.loads(text["values.schema.json"]) if "values.schema.json" in text else None
    except json.JSONDecodeError as error:
        raise HelmInputError(f"{place}/values.schema.json: not JSON: {error}") from error
    return Chart(
        name=str(parse_yaml(text["Chart.yaml"], f"{place}/Chart.yaml").data.get("name", "")),
        values=parse_yaml(text.get("values.yaml", ""), f"{place}/values.yaml").data,
        schema=schema,
        templates=[
            content.decode(errors="replace") for name, content in files.items() if name.startswith("templates/")
        ],
        subcharts=subcharts,
    )
