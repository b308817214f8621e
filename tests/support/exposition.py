"""Read what `/metrics` says with prometheus_client's own parser."""

from __future__ import annotations

from collections.abc import Mapping

import httpx2
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families


class Exposition:
    """One answer: its families by name, and its samples."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families: Mapping[str, Metric] = {family.name: family for family in text_string_to_metric_families(text)}

    def samples(self, name: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Give the samples of a name by their labels, in the order of the labels' names."""
        return {
            tuple(sorted(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
            if sample.name == name
        }

    def value(self, name: str, **labels: str) -> float:
        """Give the one sample with exactly these labels."""
        return self.samples(name)[tuple(sorted(labels.items()))]

    def names(self) -> set[str]:
        """Give the name of every series: those of the families, and those that histograms and counters make of them."""
        found = {sample.name for family in self.families.values() for sample in family.samples}
        return found | set(self.families) | {f"{f.name}_total" for f in self.families.values() if f.type == "counter"}


async def scrape(client: httpx2.AsyncClient, **headers: str) -> Exposition:
    """Ask once."""
    answer = await client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    return Exposition(answer.text)
