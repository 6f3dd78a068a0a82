"""A scrape, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Mapping

import requests
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

TOKEN = "metrics-token-of-the-tests-0123456789"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
MULTIPROCESS = {"METRICS_TOKEN": TOKEN, "WEB_PROCESSES": "2"}


class Scrape:
    """What one answer says."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    @classmethod
    def of(cls, source: Client | str) -> Scrape:
        """Of this process by Django's client, or of a server by its URL."""
        if isinstance(source, str):
            answer = requests.get(f"{source}/metrics", headers=BEARER, timeout=30)
            assert answer.status_code == 200, answer.text
            return cls(answer.text)
        page = source.get("/metrics", headers=BEARER)
        assert page.status_code == 200
        return cls(page.content.decode())

    @property
    def names(self) -> set[str]:
        return {name for name, _labels in self._samples}

    def labels(self, name: str) -> list[Mapping[str, str]]:
        """The labels of every series of this name."""
        return [dict(labels) for known, labels in self._samples if known == name]

    def value(self, name: str, /, **labels: str) -> float:
        """Of one series; 0 when it is not there yet."""
        return self._samples.get((name, frozenset(labels.items())), 0.0)

    def total(self, name: str, /, **labels: str) -> float:
        """Of all series that have these labels among theirs."""
        wanted = set(labels.items())
        return sum(value for (known, has), value in self._samples.items() if known == name and wanted <= has)
