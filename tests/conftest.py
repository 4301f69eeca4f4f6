"""Servers and databases for the system tests."""

import itertools

import pytest
from pando_process import Pando, PandoProcesses

# It is a session of its own, which test_sqlalchemy_suite.py runs: its plugin takes over whatever session loads it.
collect_ignore = ["clients/sqlalchemy_suite"]

NUMBERS = itertools.count(1)


def pytest_addoption(parser):
    parser.addoption("--slt-address", help="HOST:PORT of a Pando for tests/slt, instead of one of its own")


@pytest.fixture
def pando(tmp_path):
    """A server of the test's own."""
    server = Pando(tmp_path / "data")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def processes(tmp_path_factory):
    """One cluster of processes for all tests that need no more than a database of their own."""
    cluster = PandoProcesses(tmp_path_factory.mktemp("processes") / "data")
    try:
        cluster.start()
        yield cluster
        assert cluster.process.poll() is None, f"the cluster ended:\n{cluster.log.read_text()}"
        ended = [path for path in (cluster.data / "logs").iterdir() if "panicked" in path.read_text()]
        assert not ended, f"a process panicked:\n{ended[0].read_text()}"
        assert cluster.stop() == 0
    finally:
        cluster.kill()


@pytest.fixture(scope="session")
def single(tmp_path_factory):
    """One server for all tests that need no more than a database of their own."""
    server = Pando(tmp_path_factory.mktemp("server") / "data")
    server.start()
    yield server
    assert server.process.poll() is None, f"the server ended:\n{server.log.read_text()}"
    server.kill()


@pytest.fixture(scope="session", params=["single", "processes"])
def server(request):
    """The server that clients are tested with: one process, and then an aggregator of a cluster, by TLS.
    `server.elsewhere` is its other aggregator."""
    found = request.getfixturevalue(request.param)
    return found if request.param == "single" else found.aggregators[0]


@pytest.fixture
def database(server):
    """The name of a fresh database on the session's server."""
    name = f"test_{next(NUMBERS)}"
    with server.elsewhere.connect(autocommit=True) as connection:
        connection.cursor().execute(f"CREATE DATABASE {name}")
    yield name
    with server.connect(autocommit=True) as connection:
        connection.cursor().execute(f"DROP DATABASE {name}")


@pytest.fixture
def connection(server, database):
    """A PyMySQL connection to the fresh database, with its default: autocommit off."""
    with server.connect(database, local_infile=True) as connection:
        yield connection
