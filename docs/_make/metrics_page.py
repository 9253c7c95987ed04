"""Writes ``docs/metrics.md``: every Prometheus metric and the values of its labels, from the code.

``python -m docs._make.metrics_page`` writes it; a test compares it with what the code says.
"""

from collections.abc import Iterator
from pathlib import Path

from semcache.observers.metrics import METRICS, metric_table

PAGE = Path(__file__).parents[1] / "metrics.md"

_HEAD = """\
# Metrics

Every metric that `PrometheusObserver` keeps (extra `prometheus`), and that `semcache serve` shows at `/metrics`. All
have the labels `namespace` and `pipeline` before their own. Tenants are no label: there may be any number of them.
Durations are in seconds. Written from the code.

```python
from semcache import OptimizedRerankerPipeline, Settings
from semcache.observers import PrometheusObserver

settings = Settings(telemetry={"pipeline": "search"})
observer = PrometheusObserver.from_settings(settings)
with OptimizedRerankerPipeline.from_settings(settings, observers=[observer]) as pipeline:
    print(pipeline)
```

"""


def page() -> str:
    """The whole page, in Markdown."""
    return _HEAD + metric_table() + "\n## Labels\n\n" + "".join(_labels())


def _labels() -> Iterator[str]:
    values: dict[str, dict[str, None]] = {}
    for metric in METRICS:
        for at, label in enumerate(metric.labels):
            values.setdefault(label, {}).update(dict.fromkeys(row[at] for row in metric.values))
    yield "The values of each label in all metrics together. They are there from the start, at 0. Of others there are\n"
    yield "at most 32, and then `other`.\n\n"
    yield "| label | values |\n|---|---|\n"
    for label, known in values.items():
        shown = ", ".join(f"`{value}`" if value else "(empty)" for value in known)
        yield f"| `{label}` | {shown or 'as they come'} |\n"


if __name__ == "__main__":
    PAGE.write_text(page())
