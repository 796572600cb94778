"""Writes deploy/prometheus/alerts.yml as the Prometheus Operator wants it: run by `make docs`, checked by a test."""

import textwrap
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = HERE.parent / "prometheus" / "alerts.yml"
TARGET = HERE / "components" / "monitoring" / "alerts.yaml"
HEAD = """\
# Written by `make docs` from deploy/prometheus/alerts.yml.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {name: clozit}
spec:
"""


def resource() -> str:
    _comment, groups, rules = SOURCE.read_text().partition("groups:\n")
    return HEAD + textwrap.indent(groups + rules, "  ")


if __name__ == "__main__":
    TARGET.write_text(resource())
