"""Where the processes of one web server write their numbers, so that any of them can answer for all.

Each server, that is each gunicorn master, has a folder of its own under METRICS_DIR: a restart begins with empty files
while the server before it may still be finishing its requests, and two servers may share a machine. A lock, held as
long as any process of a server lives, says which folders are in use. Only for a disk (or memory) of this machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from pathlib import Path

from portal.env import env

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Where prometheus_client looks when it is imported, and in no other way; so it is set before the processes are."""


def base() -> Path:
    """METRICS_DIR, as the settings read it; the master process has no settings."""
    data = env.str("DATA_DIR", str(Path(__file__).resolve().parent.parent / "var" / "data"))
    return Path(env.str("METRICS_DIR", str(Path(data) / "metrics")))


def claim(folder: Path) -> Path:
    """Make and lock a folder of this server's own; remove those that servers which ended have left.

    Raises: OSError when the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        for left in folder.glob("web-*"):
            _remove_unless_in_use(left)
        own = Path(tempfile.mkdtemp(prefix="web-", dir=folder))
        # Never closed: this process and those that it forks hold the lock until the last of them ends.
        fcntl.flock(os.open(own / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), fcntl.LOCK_EX)
    return own


def _remove_unless_in_use(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError), (folder / "lock").open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
    for path in [*folder.glob("*.db"), folder / "lock"]:
        path.unlink(missing_ok=True)
    # Something of somebody else's in it stays, and so does the folder.
    with contextlib.suppress(OSError):
        folder.rmdir()


def process_ids(folder: Path) -> list[int]:
    """The web processes that write there: each keeps the numbers that end with it in a file named after it."""
    names = (path.stem.rpartition("_")[2] for path in folder.glob("gauge_livesum_*.db"))
    return [int(name) for name in names if name.isdigit()]


def resident_bytes(process_id: int) -> int | None:
    """Memory of a process that is in use; None when it has ended, or where there is no /proc."""
    try:
        pages = int(Path(f"/proc/{process_id}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return None
    # One that was killed and not yet taken note of has none.
    return pages * os.sysconf("SC_PAGE_SIZE") or None
