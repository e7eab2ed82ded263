"""Throw-away servers on free ports, which a test may kill. Nothing of them outlives it."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from glob import glob
from pathlib import Path
from typing import Self

import pytest

from sandbox.run import HOST
from sandbox.tools.equipment import all_lanes_demanded
from tests.journeys.live_shop import free_port, wait_for

START_WITHIN = 60  # seconds, on a machine that is doing other things too


class Server:
    """A server in a folder of its own, run by somebody who is not root."""

    programs: tuple[str, ...] = ()
    owner = "nobody"

    def __init__(self) -> None:
        self.found = [find_program(name) for name in self.programs]
        if not all(self.found):
            missing = f"{self.programs[self.found.index('')]} is not here"
            (pytest.fail if all_lanes_demanded() else pytest.skip)(missing)
        self.port = free_port()
        # Not pytest's folder, into which another user cannot look; and short, because of socket names.
        self.folder = Path(tempfile.mkdtemp(prefix="loyalty-fault-"))
        self.process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            account = pwd.getpwnam(self.owner)
            self.identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        else:
            self.identity = {}

    def __enter__(self) -> Self:
        try:
            self.prepare()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def prepare(self) -> None:
        """Make what the server needs before it first starts."""

    def command(self) -> list[str]:
        raise NotImplementedError

    def is_ready(self) -> bool:
        raise NotImplementedError

    def run(self, *command: str) -> None:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            check=False,
            timeout=START_WITHIN,
            **self.identity,
        )
        assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")[-3000:]

    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C"}

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
                **self.identity,
            )
        wait_for(self._is_up, within=START_WITHIN)

    def _is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text(errors="replace")[-3000:]
        return self.is_ready()

    def stop(self, sign: int) -> None:
        """Send a signal to the server and wait until it is gone."""
        assert self.process is not None
        self.process.send_signal(sign)
        self.process.wait(timeout=START_WITHIN)

    def kill(self) -> None:
        """End the server and its children without asking."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class PostgreSQL(Server):
    programs = ("initdb", "postgres")
    owner = "postgres"

    @property
    def url(self) -> str:
        return self.url_at(self.port)

    def url_at(self, port: int) -> str:
        return f"postgres://tester@{HOST}:{port}/postgres"

    def prepare(self) -> None:
        data = str(self.folder / "data")
        self.run(self.found[0], "-D", data, "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync")

    def command(self) -> list[str]:
        settings = [f"port={self.port}", f"listen_addresses={HOST}", f"unix_socket_directories={self.folder}"]
        return [self.found[1], "-D", str(self.folder / "data"), *(f"--{setting}" for setting in settings)]

    def is_ready(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url, connect_timeout=3).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop_immediately(self) -> None:
        """As ``pg_ctl stop -m immediate``: no checkpoint, the next start recovers from the log."""
        self.stop(signal.SIGQUIT)


class MariaDB(Server):
    programs = ("mariadb-install-db", "mariadbd")
    owner = "mysql"

    @property
    def url(self) -> str:
        return self.url_at(self.port)

    def url_at(self, port: int) -> str:
        return f"mysql://tester@{HOST}:{port}/test"

    def prepare(self) -> None:
        self.run(
            self.found[0],
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            "--auth-root-authentication-method=normal",
            "--skip-log-bin",
        )
        (self.folder / "start.sql").write_text(
            "CREATE DATABASE IF NOT EXISTS test CHARACTER SET utf8mb4;\n"
            # Where it was there already, it has the letters of the server.
            "ALTER DATABASE test CHARACTER SET utf8mb4;\n"
            f"CREATE USER IF NOT EXISTS tester@'{HOST}';\n"
            f"GRANT ALL ON *.* TO tester@'{HOST}';\n"
        )

    def command(self) -> list[str]:
        return [
            self.found[1],
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            f"--socket={self.folder / 'socket'}",
            f"--pid-file={self.folder / 'pid'}",
            f"--port={self.port}",
            f"--bind-address={HOST}",
            f"--init-file={self.folder / 'start.sql'}",
            "--skip-name-resolve",
            "--innodb-buffer-pool-size=64M",
            "--lower-case-table-names=0",
        ]

    def is_ready(self) -> bool:
        import MySQLdb

        try:
            MySQLdb.connect(host=HOST, port=self.port, user="tester", db="test", connect_timeout=3).close()
        except MySQLdb.OperationalError:
            return False
        return True


class Redis(Server):
    programs = ("redis-server",)

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def command(self) -> list[str]:
        port = str(self.port)
        return [self.found[0], "--bind", HOST, "--port", port, "--save", "", "--appendonly", "no"]

    def is_ready(self) -> bool:
        import redis

        try:
            return bool(redis.Redis(host=HOST, port=self.port).ping())
        except redis.ConnectionError:
            return False


class RabbitMQ(Server):
    programs = ("rabbitmq-server", "erl")
    owner = "rabbitmq"

    def __init__(self) -> None:
        super().__init__()
        # Debian's program in /usr/sbin is a wrapper; the one behind it starts the node.
        inner = sorted(glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"))
        self.found[0] = inner[-1] if inner else self.found[0]
        self.distribution_port = free_port()

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@{HOST}:{self.port}//"

    def environment(self) -> dict[str, str]:
        folder = str(self.folder)
        return {
            **super().environment(),
            "RABBITMQ_NODENAME": f"fault{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/logs",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_CONFIG_FILE": f"{folder}/none",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            # A name service of its own, so that none is left behind.
            "ERL_EPMD_PORT": str(self.distribution_port + 1),
            "ERL_EPMD_ADDRESS": HOST,
        }

    def command(self) -> list[str]:
        return [self.found[0]]

    def kill(self) -> None:
        super().kill()
        # The name service leaves the group of processes.
        subprocess.run(
            ["epmd", "-kill"], env=self.environment(), capture_output=True, check=False, **self.identity
        )

    def is_ready(self) -> bool:
        import amqp

        try:
            with amqp.Connection(f"{HOST}:{self.port}", connect_timeout=3):
                return True
        except (OSError, amqp.AMQPError):
            return False


def _die_with_parent() -> None:
    """A test that is killed takes its server along."""
    set_death_signal = 1
    ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)


def find_program(name: str) -> str:
    """Its path; Debian keeps PostgreSQL's programs off the path, newest version last."""
    debian = sorted(glob(f"/usr/lib/postgresql/*/bin/{name}"), key=lambda path: float(path.split("/")[4]))
    elsewhere = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    return debian[-1] if debian else elsewhere or ""
