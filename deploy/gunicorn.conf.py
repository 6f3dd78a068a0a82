"""How gunicorn serves the portal: gunicorn -c deploy/gunicorn.conf.py portal.wsgi

Threads, not processes, because launches wait for the cloud; half of the threads may (see ARCHITECTURE.md). What can
be chosen comes from the environment or ENV_FILE, see deploy/env.example.
"""

import logging
import os
import sys
from pathlib import Path
from typing import Any

from portal import metrics_files
from portal.env import env, read_env_file
from portal.logs import formatter

read_env_file()

_ATTEMPT_SECONDS = env.float("ATTEMPT_SECONDS", 10.0)
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder in memory, for heartbeats only

bind = env.list("BIND", ["127.0.0.1:8000"])
workers = env.int("WEB_PROCESSES", 1)
# gunicorn's worker with threads; ours only leaves better, so that machines can be restarted one after the other.
worker_class = "portal.web_worker.LeavingWorker"
threads = env.int("WEB_THREADS", 8)

# A launch that is under way may finish: its outcome must be recorded.
graceful_timeout = int(_ATTEMPT_SECONDS) + 10
timeout = 30
keepalive = 5
# The heartbeat is a file; on a disk that stalls, healthy workers would be killed.
worker_tmp_dir = str(_MEMORY) if os.access(_MEMORY, os.W_OK) else None

limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190

# Who the client is, and whether it came by https, is judged by ClientAddressMiddleware alone (TRUSTED_PROXIES).
forwarded_allow_ips = ""

# No access log: it would repeat what people searched for. The portal logs one line per answer, without its address.
accesslog = None
errorlog = "-"
loglevel = env.str("LOG_LEVEL", "INFO").lower()
# gunicorn's own lines in the form of the portal's. Settings do not exist yet when this is read.
logconfig_dict = {
    "formatters": {"structured": formatter(env.str("LOG_FORMAT", "json"))},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
    "root": {"handlers": ["stderr"], "level": loglevel.upper()},
    "loggers": {"gunicorn.error": {"handlers": ["stderr"], "level": loglevel.upper(), "propagate": False}},
}
# gunicorn's remote control listens in a socket of the user's home; nothing here needs it.
control_socket_disable = True


def on_starting(server: Any) -> None:
    """The master's first step, also after an upgrade in place (USR2): files for the numbers of its processes.

    Files only where somebody may read them. prometheus_client looks for the folder when a worker imports it.
    """
    # Python's warnings are lines like all others; the workers inherit this.
    logging.captureWarnings(True)
    if not env.str("METRICS_TOKEN", ""):
        os.environ.pop(metrics_files.VARIABLE, None)
        return
    try:
        os.environ[metrics_files.VARIABLE] = str(metrics_files.claim(metrics_files.base()))
    except OSError as error:
        server.log.error("METRICS_DIR, %s, cannot be written: %s.", metrics_files.base(), error.strerror)
        sys.exit(1)


def child_exit(server: Any, worker: Any) -> None:
    """A worker has ended, by itself or killed. What it counted stays counted; what it held (places) is free."""
    folder = os.environ.get(metrics_files.VARIABLE, "")
    if folder:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(worker.pid, folder)


def post_worker_init(worker: Any) -> None:
    """The worker's last step before it serves. An installation that may not run ends the whole server."""
    from omaccess import bulkhead
    from portal.startup import StartRefused, verify

    # Django answers HEAD like GET and leaves it to the server to drop the body; gunicorn would complain each time.
    logging.getLogger("gunicorn.http.wsgi").setLevel(logging.ERROR)
    try:
        verify()
    except StartRefused as error:
        worker.log.error("%s", error)
        # The code by which gunicorn knows that starting another worker would not help.
        sys.exit(3)
    bulkhead.prepare()
