"""GET /metrics: everything this server knows about itself, for Prometheus.

Prometheus comes by address, and inside a cluster often in the clear, like the probes: `HealthMiddleware` answers
before anything asks for host, session or https. What guards it is METRICS_TOKEN: without it there is no such page.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from omaccess.shared_metrics import SharedMetrics
from portal import metrics_files
from portal.version import COMMIT, VERSION

shared = SharedMetrics()


@never_cache
@login_not_required
def metrics(request: HttpRequest) -> HttpResponse:
    """The text format. Raises: Http404 without the token."""
    if not _has_token(request):
        raise Http404
    if request.method not in {"GET", "HEAD"}:
        return HttpResponseNotAllowed(["GET", "HEAD"])
    return HttpResponse(exposition(), content_type=CONTENT_TYPE_LATEST)


def _has_token(request: HttpRequest) -> bool:
    kind, _space, token = request.headers.get("Authorization", "").partition(" ")
    is_right = constant_time_compare(token, settings.METRICS_TOKEN)
    return bool(settings.METRICS_TOKEN) and kind.lower() == "bearer" and is_right


def exposition() -> bytes:
    """What all processes of this server counted, what the rows say, and the server itself."""
    folder = os.environ.get(metrics_files.VARIABLE, "")
    registry = CollectorRegistry()
    registry.register(_Server(folder))
    registry.register(shared)
    if not folder:
        return generate_latest(REGISTRY) + generate_latest(registry)
    MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]
    # The master's: when this server was started, and whether the machine's limits are near.
    ProcessCollector(pid=os.getppid, registry=registry)
    return generate_latest(registry)


class _Server(Collector):
    """Which release this is, and how many web processes there are, with how much memory."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily("sallyport_build_info", "The release that answers.", labels=["version", "commit"])
        build.add_metric([VERSION, COMMIT], 1)
        yield build
        ids = metrics_files.process_ids(Path(self._folder)) if self._folder else [os.getpid()]
        sizes = [size for size in map(metrics_files.resident_bytes, ids) if size is not None]
        yield GaugeMetricFamily("sallyport_web_processes", "Processes that serve.", value=len(sizes))
        if sizes:
            memory = GaugeMetricFamily(
                "sallyport_web_resident_memory_bytes", "Resident memory of the web processes.", labels=["of"]
            )
            memory.add_metric(["all"], sum(sizes))
            memory.add_metric(["largest"], max(sizes))
            yield memory
