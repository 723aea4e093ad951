"""A real PostgreSQL server for tests, where one is installed: its own cluster, socket only."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_USER = "postgres"
_PROGRAMS = ("initdb", "pg_ctl", "postgres")


def installed() -> bool:
    """Whether the server's programs are on the path."""
    return all(shutil.which(program) for program in _PROGRAMS)


@contextmanager
def server() -> Iterator[str]:
    """Starts a server and gives the URL of its database; stops and removes it afterwards."""
    # Unix sockets need a short path, and the server a folder that it can reach.
    folder = Path(tempfile.mkdtemp(prefix="lcpfn-"))
    # PostgreSQL refuses to run as root.
    account = _USER if os.geteuid() == 0 else None
    if account is not None:
        shutil.chown(folder, account)

    def run(*command: str) -> None:
        subprocess.run(command, check=True, user=account, cwd=folder, stdout=subprocess.DEVNULL)

    data = str(folder / "data")
    try:
        run("initdb", "--pgdata", data, "--username", _USER, "--auth", "trust", "--no-sync")
        options = f"-c listen_addresses= -k {folder} -c fsync=off"
        log = str(folder / "log")
        run("pg_ctl", "--pgdata", data, "--options", options, "--log", log, "--wait", "start")
        try:
            yield f"postgresql+psycopg2://{_USER}@/{_USER}?host={folder}"
        finally:
            run("pg_ctl", "--pgdata", data, "--mode", "immediate", "stop")
    finally:
        shutil.rmtree(folder)
