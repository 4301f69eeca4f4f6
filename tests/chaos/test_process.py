"""The process itself: it says in one line why it cannot start, and stops when it is told to."""

import signal
import socket
import subprocess
import urllib.request

import pytest
from pando_process import binary, dev_command


def fails(command):
    """Runs a command that must not start; returns its one line."""
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=30)
    assert result.returncode == 2, result
    assert "ready:" not in result.stdout
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.mark.parametrize("which", ["mysql_port", "http_port"])
def test_port_in_use(tmp_path, which):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = fails(dev_command(tmp_path / "data", **{which: port}))
        assert str(port) in line and "in use" in line


def test_folder_in_use(pando):
    line = fails(dev_command(pando.data))
    assert str(pando.data) in line and "in use" in line
    with pando.connect() as connection:
        connection.ping(reconnect=False)


def test_folder_that_cannot_be(tmp_path):
    file = tmp_path / "file"
    file.write_text("not a folder")
    assert str(file) in fails(dev_command(file))


@pytest.mark.parametrize(
    "options",
    [
        ["dev", "--no-such-option"],
        ["dev", "--mysql-port", "seven"],
        ["dev", "--mysql-port", "70000"],
        ["dev", "--partitions", "0"],
        ["dev", "--memory", "much"],
        ["demo", "--scale", "-1"],
        ["demo", "--scale", "0"],
        ["no-such-command"],
    ],
    ids=" ".join,
)
def test_bad_option(tmp_path, options):
    line = fails([binary(), *options])
    assert options[-1].lstrip("-") in line or options[-2] in line, line


def test_help_is_an_answer():
    for options in (["--help"], ["--version"], ["dev", "--help"]):
        result = subprocess.run([binary(), *options], capture_output=True, text=True, timeout=30)
        assert result.returncode == 0 and result.stdout and not result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_stops_when_told(pando, number):
    # An idle connection, and one amid a transaction, do not hold it up.
    idle = pando.connect()
    open_one = pando.connect(autocommit=True)
    cursor = open_one.cursor()
    cursor.execute("CREATE DATABASE d")
    cursor.execute("CREATE TABLE d.t (id INT NOT NULL, SHARD KEY (id))")
    cursor.execute("INSERT INTO d.t VALUES (1)")
    cursor.execute("BEGIN")
    cursor.execute("INSERT INTO d.t VALUES (2)")
    assert pando.stop(number) == 0
    idle.close()
    pando.start()
    with pando.connect("d") as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT id FROM t")
        assert cursor.fetchall() == ((1,),)


def test_health_and_metrics(pando):
    host, port = pando.http
    for path in ("healthz", "readyz", "metrics"):
        with urllib.request.urlopen(f"http://{host}:{port}/{path}", timeout=10) as answer:
            body = answer.read()
            assert answer.status == 200
    assert b"# TYPE pando_" in body
