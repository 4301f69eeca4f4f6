"""go-sql-driver/mysql: the same program on Pando and on MariaDB, the referee, prints the same."""

import os
import pathlib
import shutil
import subprocess

import pytest
import relay
import targets

PROGRAM = pathlib.Path(__file__).parent / "go_sql_driver" / "day.go"
# Debian's package of the driver, version 1.5.0; it lies where Go looked before there were modules.
SOURCES = pathlib.Path("/usr/share/gocode")
DRIVER = SOURCES / "src/github.com/go-sql-driver/mysql"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    go = shutil.which("go")
    assert go and DRIVER.exists(), "Go or the driver is missing; run make setup"
    built = tmp_path_factory.mktemp("go") / "day"
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": str(SOURCES), "GOFLAGS": ""}
    command = [go, "build", "-o", str(built), str(PROGRAM)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert result.returncode == 0, result.stderr
    return built


def run(program, folder, source, *more):
    command = [str(program), source, str(folder / "load.txt"), *map(str, more)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@pytest.fixture(scope="module")
def on_mariadb(program, tmp_path_factory):
    with targets.referee_started() as server, relay.relayed(server.socket) as port:
        with server.connect(autocommit=True) as connection:
            connection.cursor().execute("CREATE DATABASE day")
        return run(program, tmp_path_factory.mktemp("go"), f"root@tcp(127.0.0.1:{port})/day")


def test_a_day_is_as_on_mariadb(server, database, program, on_mariadb, tmp_path):
    host, port = server.address
    more = [server.ca] if server.tls else []
    found = run(program, tmp_path, f"root@tcp({host}:{port})/{database}", *more)
    assert len(found) > 200
    assert [line for line in found if ".failed = " in line] == []
    assert found == on_mariadb
