"""Starts and ends the programs for the system tests."""

import os
import pathlib
import selectors
import signal
import subprocess
import time
import urllib.request

import pymysql

START_LIMIT = 10
STOP_LIMIT = 15


def binary(name="pando"):
    """A program under test. All are built into one folder."""
    path = os.environ.get("PANDO_BIN")
    if path is None:
        target = os.environ.get("CARGO_TARGET_DIR", pathlib.Path.home() / ".cache" / "pando" / "target")
        path = pathlib.Path(target) / "debug" / "pando"
    return str(pathlib.Path(path).with_name(name))


def dev_command(data, *options, mysql_port=0, http_port=0):
    ports = ["--mysql-port", str(mysql_port), "--http-port", str(http_port)]
    return [binary(), "dev", "--data", str(data), *ports, *map(str, options)]


class Process:
    """A process on a data folder. `start`, `kill` and `start` again as often as the test likes."""

    def __init__(self, data):
        self.data = pathlib.Path(data)
        self.process = None
        # What it said that it listens on: "mysql", "rpc", "http" to (host, port).
        self.addresses = {}
        self.log = self.data.with_suffix(".log")

    def command(self):
        raise NotImplementedError

    def start(self):
        """Starts it, waits until it is ready and returns the seconds that took."""
        begin = time.monotonic()
        self.spawn()
        self.wait_until_ready(begin + START_LIMIT)
        return time.monotonic() - begin

    def spawn(self):
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(self.command(), stdout=subprocess.PIPE, stderr=log)

    def wait_until_ready(self, deadline):
        line = self.ready_line(deadline)
        # ready: mysql 127.0.0.1:3306, http 127.0.0.1:8306
        words = line.replace(",", "").split()
        assert words[0] == "ready:" and len(words) % 2 == 1, line
        self.addresses = {name: self.split(address) for name, address in zip(words[1::2], words[2::2], strict=True)}

    @property
    def address(self):
        return self.addresses["mysql"]

    @property
    def http(self):
        return self.addresses["http"]

    @property
    def pid(self):
        return self.process.pid

    @staticmethod
    def split(address):
        host, port = address.rsplit(":", 1)
        return host, int(port)

    def ready_line(self, deadline):
        text = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while time.monotonic() < deadline:
                if not selector.select(deadline - time.monotonic()):
                    continue
                piece = os.read(self.process.stdout.fileno(), 4096)
                text += piece
                for line in text.decode().splitlines(keepends=True):
                    if line.startswith("ready:") and line.endswith("\n"):
                        return line.strip()
                if not piece:
                    code = self.process.wait()
                    raise AssertionError(f"{self} ended with {code} before it was ready:\n{self.log.read_text()}")
        self.kill()
        raise AssertionError(f"{self} was not ready in time:\n{self.log.read_text()}")

    def connect(self, database=None, **options):
        host, port = self.address
        settings = {"host": host, "port": port, "user": "root", "database": database, "connect_timeout": 10}
        settings.update(options)
        return pymysql.connect(**settings)

    def get(self, path):
        """The body of an HTTP page."""
        host, port = self.http
        with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=10) as answer:
            return answer.read().decode()

    def metrics(self):
        """The numbers of /metrics, by name and labels as they are written there."""
        lines = [line for line in self.get("/metrics").splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def kill(self):
        """Ends it as a power cut would end the process."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self, number=signal.SIGTERM):
        """Asks it to stop; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOP_LIMIT)


class Pando(Process):
    """`pando dev`: a whole cluster in one process."""

    def __init__(self, data, *options):
        super().__init__(data)
        self.options = options or ("--partitions", 4, "--memory", "1GiB")

    def __str__(self):
        return "pando dev"

    def command(self):
        return dev_command(self.data, *self.options)
