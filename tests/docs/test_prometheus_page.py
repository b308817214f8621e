"""The page about Prometheus: what it says to configure is what Prometheus takes, about metrics that there are."""

from __future__ import annotations

import re

import pytest
import yaml

from support.pages import code, page, rows

PAGE = page("docs/how-to/monitor-with-prometheus.md")
RULES = [rule for group in yaml.safe_load(page("docs/how-to/emp-alerts.yml"))["groups"] for rule in group["rules"]]
SERIES = {
    row["metric"].strip("`"): {"job", "instance", *re.findall(r"`(\w+)`", row["labels"])}
    for row in rows(page("docs/reference/metrics.md"))
}
"""The metrics with their labels; `tests/server/test_metrics.py` compares the table with what a server says."""


def known(name: str) -> set[str] | None:
    """Give the labels of a series, of a histogram's buckets too."""
    bucket = name.removesuffix("_bucket")
    return SERIES[bucket] | {"le"} if bucket != name and bucket in SERIES else SERIES.get(name)


def test_the_rules_have_the_form_of_prometheus():
    assert set(yaml.safe_load(page("docs/how-to/emp-alerts.yml"))) == {"groups"}
    for rule in RULES:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"[A-Za-z]+", rule["alert"])
        assert rule["expr"].count("(") == rule["expr"].count(")")
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description"}


@pytest.mark.parametrize("text", [rule["expr"] for rule in RULES] + re.findall(r"^    (.*emp_.*)$", PAGE, re.MULTILINE))
def test_an_expression_names_metrics_that_there_are_and_labels_that_they_have(text):
    if text.startswith("emp keys"):
        return
    names = re.findall(r"\bemp_\w+", text)

    assert names
    assert not [name for name in names if known(name) is None]
    labels = set().union(*(known(name) or set() for name in names))
    used = {label.strip() for group in re.findall(r"(?:by|on) \(([^)]*)\)", text) for label in group.split(",")}
    used |= set(re.findall(r"[{,](\w+)=", text))
    assert used <= labels


def test_the_page_has_a_line_for_each_alert():
    assert {row["alert"].strip("`") for row in rows(PAGE)} == {rule["alert"] for rule in RULES}


def test_the_scrape_configuration_asks_with_a_key_for_the_metrics():
    [text] = code(PAGE, "yaml")

    [config] = yaml.safe_load(text)["scrape_configs"]

    assert config["metrics_path"] == "/metrics"
    assert config["authorization"] == {"type": "Bearer", "credentials_file": "/etc/prometheus/emp.key"}
    assert yaml.safe_load(text)["rule_files"] == ["emp-alerts.yml"]
