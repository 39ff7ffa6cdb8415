"""A PostgreSQL server of a test's own: in a temporary folder, on a Unix socket alone, ended with the test."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ANYBODY = "nobody"  # the server refuses to run as root


def server_programs() -> Path | None:
    """Returns the folder of initdb and pg_ctl, None where no server is installed."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)  # where Debian has them, off the path
    return next((path for path in folders if (path / "initdb").exists() and (path / "pg_ctl").exists()), None)


@contextmanager
def postgres_server() -> Iterator[str]:
    """Gives the address of an empty database `ofa` on a server of its own."""
    programs = server_programs()
    assert programs is not None
    root = Path(tempfile.mkdtemp(prefix="ofa-pg-"))  # short: the path of a socket has at most 107 bytes
    options: dict[str, int | list[int]] = {}
    if os.geteuid() == 0:
        someone = pwd.getpwnam(ANYBODY)
        os.chown(root, someone.pw_uid, someone.pw_gid)
        options = {"user": someone.pw_uid, "group": someone.pw_gid, "extra_groups": []}

    def call(program: str, *arguments: str) -> None:
        command = [str(programs / program), *arguments]
        subprocess.run(command, cwd=root, check=True, stdout=subprocess.DEVNULL, **options)  # type: ignore[call-overload]

    data = str(root / "data")
    settings = f"-c listen_addresses='' -c unix_socket_directories={root} -c fsync=off"
    try:
        call("initdb", "-D", data, "-U", "ofa", "-A", "trust", "-E", "UTF8", "--no-locale")
        call("pg_ctl", "-D", data, "-w", "-l", str(root / "log"), "-o", settings, "start")
        try:
            call("createdb", "-h", str(root), "-U", "ofa", "ofa")
            yield f"postgresql:///ofa?host={root}"
        finally:
            call("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(root, ignore_errors=True)
