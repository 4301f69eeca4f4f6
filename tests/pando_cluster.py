"""A cluster of processes: one master, aggregators and leaves, each on a folder of its own.

Each has a loopback address of its own and listens on the ports that are the default. So its address stays
when it is killed and started again, and no client's port can be in the way: clients of a loopback address
come from 127.0.0.1. With a `hosts.Network` each has a host of its own instead.
"""

import contextlib
import itertools
import os
import time

import pymysql
import pytest
from pando_process import START_LIMIT, Process, binary

NUMBERS = itertools.count(1)
PROGRAMS = ("pando-aggregator", "pando-leaf")
NOT_BUILT = [program for program in PROGRAMS if not os.path.exists(binary(program))]

# Gauges that are at zero on every process that has them when no statement runs and no transaction is open.
AT_REST = {
    "pando_statements_running",
    "pando_open_transactions",
    "pando_lock_waiting",
    "pando_queries_running",
    "pando_query_memory_bytes",
}

# For every test that starts one of them.
needs_programs = pytest.mark.skipif(bool(NOT_BUILT), reason=f"not built: {', '.join(NOT_BUILT)}")


def loopback():
    """An address that no other process of this or another run of the tests has."""
    # 64 to 126 in the second place, away from what people use.
    session = os.getpid() % (63 * 254)
    number = next(NUMBERS)
    assert number < 255, "too many processes in one run"
    return f"127.{64 + session // 254}.{1 + session % 254}.{number}"


class Node(Process):
    """One process of a cluster."""

    def __init__(self, cluster, name, *options, host=None):
        super().__init__(cluster.folder / name)
        self.cluster = cluster
        self.name = name
        self.host = host
        self.program = "pando-leaf" if name.startswith("leaf") else "pando-aggregator"
        self.options = options
        self.ip = host.address if host else loopback()

    def __str__(self):
        return self.name

    @property
    def rpc(self):
        return f"{self.ip}:{7307 if self.program == 'pando-leaf' else 7306}"

    def command(self):
        # On a host of its own it serves the clients there too: root has no password on loopback.
        bind = "0.0.0.0" if self.host else self.ip
        command = [*(self.host.prefix if self.host else []), binary(self.program), "--data", self.data]
        command += ["--bind", bind, "--advertise", self.ip, "--join", self.cluster.master.rpc, *self.options]
        return list(map(str, command))

    def connect(self, database=None, **options):
        if self.host is None:
            return super().connect(database, **options)
        settings = {"user": "root", "database": database, "defer_connect": True, **options}
        connection = pymysql.connect(host="127.0.0.1", **settings)
        connection.connect(self.host.connect(("127.0.0.1", 3306), 10))
        return connection

    def get(self, path):
        if self.host is None:
            return super().get(path)
        status, body = self.host.get(self.http[1], path, 10)
        assert status == 200, f"{self}: {path} answers {status}"
        return body

    def leftovers(self):
        """What a process at rest holds none of, and this one does."""
        found = {name: value for name, value in self.metrics().items() if name in AT_REST and value != 0}
        files = [path for path in self.data.glob("**/tmp/**/*") if path.is_file()]
        return {**found, "files": files} if files else found


class Cluster:
    def __init__(self, folder, leaves=3, aggregators=2, partitions=8, memory="512MiB", network=None):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

        def node(name, *options):
            host = network.add(name) if network else None
            return Node(self, name, "--memory", memory, "--drain-seconds", 5, *options, host=host)

        sql = ("--partitions", partitions)
        self.master = node("master", "--master", "--bootstrap", *sql)
        self.aggregators = [node(f"aggregator-{number}", *sql) for number in range(aggregators)]
        self.leaves = [node(f"leaf-{number}") for number in range(leaves)]

    @property
    def nodes(self):
        return [self.master, *self.aggregators, *self.leaves]

    def start(self, nodes=None):
        """Starts them side by side and waits until all are ready."""
        begin = time.monotonic()
        nodes = self.nodes if nodes is None else nodes
        for node in nodes:
            node.spawn()
        for node in nodes:
            node.wait_until_ready(begin + START_LIMIT)
        return time.monotonic() - begin

    def kill(self):
        for node in self.nodes:
            node.kill()

    def stop(self):
        """Asks all to stop, leaves last; returns what did not end with 0."""
        codes = {node.name: node.stop() for node in [*self.aggregators, self.master, *self.leaves]}
        return {name: code for name, code in codes.items() if code != 0}

    def wait_until_at_rest(self, limit, what, nodes=None):
        """Nothing of ended statements and transactions is left on the nodes within so many seconds."""
        deadline = time.monotonic() + limit
        nodes = self.nodes if nodes is None else nodes
        assert AT_REST <= {name for node in nodes for name in node.metrics()}, "a gauge is missing"
        while left := {node.name: kept for node in nodes if (kept := node.leftovers())}:
            assert time.monotonic() < deadline, f"{what}: left behind: {left}"
            time.sleep(0.05)

    def connect(self, database=None, aggregator=0, **options):
        return self.aggregators[aggregator].connect(database, **options)

    def query(self, sql, database=None, aggregator=0):
        with self.connect(database, aggregator, autocommit=True) as connection:
            cursor = connection.cursor()
            cursor.execute(sql)
            return cursor.fetchall()

    @classmethod
    @contextlib.contextmanager
    def running(cls, folder, **settings):
        cluster = cls(folder, **settings)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.kill()
