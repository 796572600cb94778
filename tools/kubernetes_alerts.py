"""Generator of the Prometheus Operator's alerts from deploy/prometheus/alerts.yml; run by `make docs`."""

import textwrap
from pathlib import Path

DEPLOY = Path(__file__).parents[1] / "deploy"
SOURCE = DEPLOY / "prometheus" / "alerts.yml"
TARGET = DEPLOY / "kubernetes" / "components" / "monitoring" / "alerts.yaml"
HEAD = """\
# Written by `make docs` from deploy/prometheus/alerts.yml.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {name: clozit, labels: {release: kube-prometheus-stack}}
spec:
"""


def resource() -> str:
    """Return the PrometheusRule resource as YAML."""
    _comment, groups, rules = SOURCE.read_text().partition("groups:\n")
    return HEAD + textwrap.indent(groups + rules, "  ")


if __name__ == "__main__":
    TARGET.write_text(resource())
