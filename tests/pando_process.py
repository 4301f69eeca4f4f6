"""Starts and ends `pando dev` for the system tests."""

import os
import pathlib
import selectors
import signal
import subprocess
import time

import pymysql

START_LIMIT = 10
STOP_LIMIT = 15


def binary():
    """The program under test."""
    path = os.environ.get("PANDO_BIN")
    if path is None:
        target = os.environ.get("CARGO_TARGET_DIR", pathlib.Path.home() / ".cache" / "pando" / "target")
        path = pathlib.Path(target) / "debug" / "pando"
    return str(path)


def dev_command(data, *options, mysql_port=0, http_port=0):
    ports = ["--mysql-port", str(mysql_port), "--http-port", str(http_port)]
    return [binary(), "dev", "--data", str(data), *ports, *map(str, options)]


class Pando:
    """A server on a data folder. `start`, `kill` and `start` again as often as the test likes."""

    def __init__(self, data, *options):
        self.data = pathlib.Path(data)
        self.options = options or ("--partitions", 4, "--memory", "1GiB")
        self.process = None
        self.address = None
        self.http = None
        self.log = self.data.with_suffix(".log")

    def start(self):
        """Starts the server, waits until it is ready and returns the seconds that took."""
        begin = time.monotonic()
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                dev_command(self.data, *self.options), stdout=subprocess.PIPE, stderr=log
            )
        line = self.ready_line(begin + START_LIMIT)
        # ready: mysql 127.0.0.1:3306, http 127.0.0.1:8306
        words = line.replace(",", "").split()
        assert words[:2] == ["ready:", "mysql"] and words[3] == "http", line
        self.address = self.split(words[2])
        self.http = self.split(words[4])
        return time.monotonic() - begin

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
                    raise AssertionError(f"pando ended with {code} before it was ready:\n{self.log.read_text()}")
        self.kill()
        raise AssertionError(f"pando was not ready after {START_LIMIT} s:\n{self.log.read_text()}")

    def connect(self, database=None, **options):
        host, port = self.address
        settings = {"host": host, "port": port, "user": "root", "database": database, "connect_timeout": 10}
        settings.update(options)
        return pymysql.connect(**settings)

    def kill(self):
        """Ends it as a power cut would end the process."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self, number=signal.SIGTERM):
        """Asks it to stop; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOP_LIMIT)
