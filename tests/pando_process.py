"""Starts and ends the programs for the system tests."""

import functools
import os
import pathlib
import re
import selectors
import signal
import ssl
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

    # How long it may take to be ready.
    start_limit = START_LIMIT

    def __init__(self, data):
        self.data = pathlib.Path(data)
        self.process = None
        # What it said until it was ready, and where it listens by that: "mysql", "rpc", "http" to (host, port).
        self.said = ""
        self.addresses = {}
        self.log = self.data.with_suffix(".log")

    def command(self):
        raise NotImplementedError

    def start(self):
        """Starts it, waits until it is ready and returns the seconds that took."""
        begin = time.monotonic()
        self.spawn()
        self.wait_until_ready(begin + self.start_limit)
        return time.monotonic() - begin

    def spawn(self):
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(self.command(), stdout=subprocess.PIPE, stderr=log)

    def wait_until_ready(self, deadline):
        line = self.ready_line(deadline)
        # ready: mysql 127.0.0.1:3306, http 127.0.0.1:8306
        assert line.startswith("ready: "), line
        self.addresses = self.split_all(line.removeprefix("ready: "))

    @property
    def address(self):
        return self.addresses["mysql"]

    @property
    def http(self):
        return self.addresses["http"]

    @property
    def pid(self):
        return self.process.pid

    def resident_bytes(self, at_most=False):
        """Now, or the most since it started."""
        field = "VmHWM:" if at_most else "VmRSS:"
        with open(f"/proc/{self.pid}/status") as status:
            (line,) = [line for line in status if line.startswith(field)]
        return int(line.split()[1]) << 10

    @staticmethod
    def split(address):
        host, port = address.rsplit(":", 1)
        return host, int(port)

    @classmethod
    def split_all(cls, text):
        """mysql 127.0.0.1:3306, http 127.0.0.1:8306"""
        return {name: cls.split(address) for name, address in map(str.split, text.split(", "))}

    def ready_line(self, deadline):
        text = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while time.monotonic() < deadline:
                if not selector.select(deadline - time.monotonic()):
                    continue
                piece = os.read(self.process.stdout.fileno(), 4096)
                text += piece
                self.said = text.decode()
                for line in self.said.splitlines(keepends=True):
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

    @property
    def ca(self):
        """What its clients check its certificate by."""
        return self.data / "ca.pem"

    @property
    def tls(self):
        """Arguments that let PyMySQL use TLS, where this server's clients do."""
        return {}

    @property
    def elsewhere(self):
        """Another way into the same databases."""
        return self

    def command(self):
        return dev_command(self.data, *self.options)


class Aggregator(Pando):
    """An aggregator of `pando dev --processes`, which all clients reach by TLS."""

    def __init__(self, cluster, name, pid, addresses):
        super().__init__(cluster.data / name)
        self.cluster = cluster
        self.name = name
        self.process = cluster.process
        self.log = cluster.log
        self.number = pid
        self.addresses = addresses

    def __str__(self):
        return self.name

    @property
    def pid(self):
        return self.number

    @functools.cached_property
    def tls(self):
        return {"ssl": ssl.create_default_context(cafile=self.ca)}

    @property
    def elsewhere(self):
        """The next aggregator."""
        all = self.cluster.aggregators
        return all[(all.index(self) + 1) % len(all)]

    def connect(self, database=None, **options):
        return super().connect(database, **{**self.tls, **options})


class PandoProcesses(Process):
    """`pando dev --processes`: a process for each role, started and looked after by this one."""

    # There are six of them, on one disk.
    start_limit = 6 * START_LIMIT

    def __init__(self, data, leaves=3, aggregators=2, partitions=4, memory="3GiB"):
        super().__init__(data)
        self.options = ("--leaves", leaves, "--aggregators", aggregators, "--partitions", partitions)
        self.options += ("--memory", memory)
        self.aggregators = []

    def __str__(self):
        return "pando dev --processes"

    def command(self):
        return dev_command(self.data, "--processes", *self.options)

    def wait_until_ready(self, deadline):
        super().wait_until_ready(deadline)
        # aggregator-1: pid 4711, mysql 127.0.0.1:3306, rpc 127.0.0.1:7306, http 127.0.0.1:8306
        found = re.findall(r"^(aggregator-\d+): pid (\d+), (.*)$", self.said, re.MULTILINE)
        self.aggregators = [Aggregator(self, name, int(pid), self.split_all(text)) for name, pid, text in sorted(found)]
