"""A leaf is killed in the middle of each of the 22 TPC-H queries: an error within 5 s or the right answer,
never a wrong or partial one; the other processes keep no memory, file or task of it; when the leaf is
back, the query gives its answer.

The leaf is stopped first (SIGSTOP) at a chance moment of the query, so that the query cannot get by it, and
killed then. Where the query was over before that, the leaf is stopped before the query begins.
"""

import os
import random
import signal
import threading
import time

import pymysql
import pytest
import tpch
from pando_cluster import Cluster, needs_programs
from seeds import seed

pytestmark = needs_programs

SCALE = "0.01"
ROUNDS = int(os.environ.get("PANDO_CHAOS_QUERY_ROUNDS", "1"))
ERROR_LIMIT = 5
# Until all that belonged to a query is gone from the others, and until a leaf that is ready again serves.
CLEAN_LIMIT = 5
RESUME_LIMIT = 5


class Statement(threading.Thread):
    """A query on a connection of its own: its rows or its error, and when it ended."""

    def __init__(self, cluster, aggregator, number):
        super().__init__(daemon=True)
        self.connection = cluster.connect("tpch", aggregator, read_timeout=60)
        self.number = number
        self.rows = self.error = self.ended = None

    def run(self):
        try:
            self.rows = tpch.run(self.connection, self.number)
        except pymysql.err.MySQLError as error:
            self.error = error
        finally:
            self.ended = time.monotonic()

    def end(self, deadline, what):
        self.join(max(0, deadline - time.monotonic()))
        assert not self.is_alive(), f"{what}: no answer and no error within {ERROR_LIMIT} s"
        self.connection.close()


def check_answer(rows, number, what):
    wrong = tpch.difference(SCALE, number, rows)
    assert wrong is None, f"{what}: {wrong}"


def wait_for_answer(cluster, aggregator, number, what):
    """The query's right answer, and how long it took once it succeeded."""
    deadline = time.monotonic() + RESUME_LIMIT
    while True:
        begin = time.monotonic()
        try:
            with cluster.connect("tpch", aggregator, read_timeout=60) as connection:
                rows = tpch.run(connection, number)
        except pymysql.err.MySQLError as error:
            assert time.monotonic() < deadline, f"{what}: the leaf is back, but: {error}"
            time.sleep(0.05)
            continue
        check_answer(rows, number, what)
        return time.monotonic() - begin


def kill_amid(cluster, victim, statement, delay, what):
    """Starts the query, kills the leaf after `delay` of it (None: before it began). True if it failed."""
    if delay is None:
        victim.process.send_signal(signal.SIGSTOP)
        statement.start()
        time.sleep(0.05)
    else:
        statement.start()
        time.sleep(delay)
        victim.process.send_signal(signal.SIGSTOP)
    victim.kill()
    statement.end(time.monotonic() + ERROR_LIMIT, what)
    if statement.error is None:
        check_answer(statement.rows, statement.number, what)
        return False
    number, text = statement.error.args
    # An error of the server, that says which leaf, on a connection that is still good.
    assert 1000 <= number < 2000 or number > 3000, f"{what}: {statement.error}"
    assert victim.ip in text, f"{what}: the error does not name the leaf {victim.ip}: {text}"
    return True


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("queries")
    tpch.make_rows(SCALE, folder / "rows")
    with Cluster.running(folder / "cluster", leaves=3, aggregators=2, partitions=6) as cluster:
        tpch.load(cluster, "tpch", folder / "rows", 6)
        yield cluster


def test_leaf_killed_amid_queries(cluster):
    dice = random.Random(seed())
    failed = 0
    for round in range(ROUNDS):
        for number in dice.sample(tpch.NUMBERS, len(tpch.NUMBERS)):
            victim = dice.choice(cluster.leaves)
            aggregator = dice.randrange(len(cluster.aggregators))
            part = dice.random()
            what = f"round {round}, Q{number}, {victim} killed"
            seconds = wait_for_answer(cluster, aggregator, number, what)
            others = [node for node in cluster.nodes if node is not victim]
            for delay in (part * seconds, None):
                hit = kill_amid(cluster, victim, Statement(cluster, aggregator, number), delay, what)
                cluster.wait_until_at_rest(CLEAN_LIMIT, what, others)
                victim.start()
                if hit:
                    failed += 1
                    break
                wait_for_answer(cluster, aggregator, number, what)
            wait_for_answer(cluster, aggregator, number, what)
    # Every one of these queries reads a table that lies on all leaves.
    print(f"{failed} of {ROUNDS * 22} queries failed by the death of a leaf")
    assert failed == ROUNDS * 22
