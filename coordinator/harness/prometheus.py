"""A real Prometheus, from Debian's package `prometheus`, that scrapes one exporter every second."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import requests
import yaml

from harness.process import Process, free_port
from harness.waiting import wait_until


class Prometheus:
    """A Prometheus server; use it as a context manager.

    Args:
        folder: An empty folder for its configuration, data and log.
        port: The exporter's local port.
        rule_files: Rules to evaluate every second.
    """

    def __init__(self, folder: Path, port: int, rule_files: Iterable[Path] = ()) -> None:
        own_port = free_port()
        self.url = f"http://127.0.0.1:{own_port}"
        config = folder / "prometheus.yml"
        config.write_text(
            yaml.safe_dump(
                {
                    "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                    "rule_files": [str(file) for file in rule_files],
                    "scrape_configs": [
                        {"job_name": "dagster", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
                    ],
                }
            )
        )
        arguments = (f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{own_port}")
        self._process = Process(
            "prometheus",
            ["prometheus", f"--config.file={config}", *arguments],
            os.environ,
            folder,
            folder / "prometheus.log",
        )

    def __enter__(self) -> "Prometheus":
        """Start it and wait until it has scraped the exporter."""
        self._process.start()
        try:
            wait_until("Prometheus has scraped the exporter", lambda: self._is_ready() and self.query("up == 1"))
        except BaseException:
            self._process.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._process.stop()

    def _is_ready(self) -> bool:
        self._process.ensure_running()
        try:
            return requests.get(f"{self.url}/-/ready", timeout=5).ok
        except requests.ConnectionError:
            return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The current series of an expression.

        Raises:
            ValueError: Prometheus refuses the expression.
        """
        return self._ask("query", {"query": expression})

    def query_range(self, expression: str, start: float, end: float, points: int = 300) -> list[dict[str, Any]]:
        """The series of an expression over a time range.

        Args:
            expression: The expression.
            start: The beginning of the range, in seconds since the epoch.
            end: Its end, likewise.
            points: The most points of each series.

        Raises:
            ValueError: Prometheus refuses the expression.
        """
        step = max(1.0, (end - start) / points)
        parameters = {"query": expression, "start": str(start), "end": str(end), "step": str(step)}
        return self._ask("query_range", parameters)

    def _ask(self, how: str, parameters: dict[str, str]) -> list[dict[str, Any]]:
        answer = requests.get(f"{self.url}/api/v1/{how}", parameters, timeout=30).json()
        if answer["status"] != "success":
            raise ValueError(f"Prometheus refuses {parameters['query']!r}: {answer['error']}")
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found
