"""gunicorn's worker with threads, and how it leaves: whoever has connected is served, whoever comes later is refused.

gunicorn's own stops accepting and yet keeps the listening socket until its last request is done. Connections meanwhile
queue up in the kernel, and are reset when it ends: requests that were sent and never read, which no load balancer may
send again. A refused connection goes to the next machine at once.
"""

from __future__ import annotations

import select
from typing import Any

from gunicorn.workers.gthread import ThreadWorker


class LeavingWorker(ThreadWorker):  # type: ignore[misc]
    """Named by deploy/gunicorn.conf.py. The master has closed its own socket before it tells its workers to stop.

    With a reload it has not: then the new workers go on accepting.
    """

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        for listener in self.sockets:
            self._take_those_who_wait(listener)
            listener.close()

    def _take_those_who_wait(self, listener: Any) -> None:
        """Accept what the kernel has queued up; no more than that can be."""
        for _each in range(self.cfg.backlog):
            if not select.select([listener], [], [], 0)[0]:
                return
            self.accept(listener)
