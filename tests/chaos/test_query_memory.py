"""Queries with less memory than they would take: the operators write to files, the answers stay right, and no
file stays behind, however a query ends."""

import os
import re
import threading
import time

import pymysql
import pytest
import tpch
from pando_cluster import Cluster, needs_programs
from pando_process import Pando

SCALE = os.environ.get("PANDO_MEMORY_SCALE", "0.1")
ANSWER_LIMIT = 60
# Memory and files are free within so many seconds after a query was killed. The programs are built for
# debugging, and other tests run beside this one; otherwise it is 0.1.
FREED_LIMIT = float(os.environ.get("PANDO_FREED_LIMIT", "2"))
MIB = 1 << 20
pytestmark = [needs_programs, pytest.mark.timeout(600)]

# Each operator: how its line begins, a query that cannot hold what it needs in so many MiB.
OPERATORS = {
    "hash join": (
        "HashJoinExec",
        8,
        "SELECT COUNT(*), SUM(l_extendedprice + o_totalprice) FROM lineitem JOIN orders ON l_orderkey = o_orderkey"
        " WHERE l_comment <> o_comment",
    ),
    "nested loop join": (
        "NestedLoopJoinExec",
        1,
        "SELECT COUNT(*), MAX(a.c_comment), MIN(b.c_name) FROM customer AS a JOIN customer AS b"
        " ON a.c_acctbal < b.c_acctbal AND a.c_comment < b.c_comment WHERE a.c_custkey < 5000 AND b.c_custkey < 5000",
    ),
    "aggregation by long strings": (
        "AggregateExec: mode=Final",
        4,
        "SELECT COUNT(*), SUM(n), MAX(m) FROM (SELECT l_comment, COUNT(*) AS n, MAX(l_shipinstruct) AS m FROM lineitem"
        " GROUP BY l_comment) AS t",
    ),
    "aggregation of many groups": (
        "AggregateExec: mode=Final",
        4,
        "SELECT COUNT(*), SUM(n) FROM (SELECT l_partkey, l_suppkey, l_shipdate, COUNT(*) AS n FROM lineitem"
        " GROUP BY l_partkey, l_suppkey, l_shipdate) AS t",
    ),
    "sort and window": (
        "SortExec",
        4,
        "SELECT SUM(n * k), COUNT(*) FROM (SELECT l_linenumber AS k, ROW_NUMBER() OVER (PARTITION BY l_suppkey"
        " ORDER BY l_comment, l_orderkey, l_linenumber) AS n FROM lineitem) AS w",
    ),
    "window of whole partitions": (
        "SortExec",
        4,
        "SELECT SUM(n), COUNT(*), MAX(c) FROM (SELECT l_comment AS c, SUM(l_linenumber) OVER (PARTITION BY l_suppkey)"
        " AS n FROM lineitem) AS w",
    ),
    "top-k": (
        "SortExec: TopK",
        4,
        "SELECT MAX(k), SUM(n), COUNT(*) FROM (SELECT l_comment AS k, l_linenumber AS n FROM lineitem"
        " ORDER BY l_comment, l_orderkey, l_linenumber LIMIT 100000) AS t",
    ),
}
# How often each is run, and must be right.
TIMES = int(os.environ.get("PANDO_MEMORY_TIMES", "3"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    tpch.make_rows(SCALE, folder)
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory, rows):
    server = Pando(tmp_path_factory.mktemp("one") / "data", "--partitions", 4, "--memory", "1GiB")
    server.start()
    try:
        tpch.load(server, "tpch", rows, 4)
        yield server
    finally:
        server.kill()


def spill_files(*folders):
    """The files of queries in the folders of leaves and aggregators."""
    found = [path for folder in folders for path in folder.rglob("tmp/datafusion-*/*")]
    return [str(path) for path in found if path.is_file()]


def until(what, limit, check):
    begin = time.monotonic()
    while not check():
        assert time.monotonic() < begin + limit, what
        time.sleep(0.005)
    return time.monotonic() - begin


def at_rest(server):
    return server.metrics()["pando_query_memory_bytes"] == 0 and not spill_files(server.data)


def spilled(line):
    found = re.search(r"(\d+) spills of (\d+) KiB", line)
    return int(found.group(2)) if found else 0


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_spills(one, name):
    begins, limit, sql = OPERATORS[name]
    with one.connect("tpch", read_timeout=ANSWER_LIMIT) as connection:
        cursor = connection.cursor()
        cursor.execute(sql)
        expected = cursor.fetchall()
        cursor.execute(f"SET pando_query_memory = {limit * MIB}")
        for _ in range(TIMES):
            cursor.execute(sql)
            assert cursor.fetchall() == expected
        cursor.execute(f"EXPLAIN ANALYZE {sql}")
        plan = [line for row in cursor.fetchall() for line in row[0].splitlines()]
    ours = [line for line in plan if line.strip().startswith(begins)]
    assert sum(map(spilled, ours)) > 100, "\n".join(plan)
    until("files or memory stay", ANSWER_LIMIT, lambda: at_rest(one))


def test_exchanges_spill(one):
    before = one.metrics()["pando_exchange_spilled_bytes"]
    with one.connect("tpch", read_timeout=ANSWER_LIMIT) as connection:
        cursor = connection.cursor()
        cursor.execute(f"SET pando_query_memory = {4 * MIB}")
        # Both joins need all of what is sent to them before they yield a row.
        cursor.execute(
            "SELECT COUNT(*) FROM (SELECT l_partkey AS k, MAX(l_comment) AS c FROM lineitem GROUP BY l_partkey) a"
            " JOIN (SELECT l_suppkey AS k, l_comment AS c FROM lineitem) b ON a.k = b.k AND a.c < b.c"
        )
        assert cursor.fetchall()
    assert one.metrics()["pando_exchange_spilled_bytes"] > before


def test_a_partition_of_a_window_that_does_not_fit_is_an_error(one):
    with one.connect("tpch", read_timeout=ANSWER_LIMIT) as connection:
        cursor = connection.cursor()
        cursor.execute(f"SET pando_query_memory = {8 * MIB}")
        with pytest.raises(pymysql.err.MySQLError, match="memory limit is reached: Window") as caught:
            cursor.execute("SELECT COUNT(*) OVER (), l_comment FROM lineitem")
        assert caught.value.args[0] == 1038
        cursor.execute("SELECT COUNT(*) FROM lineitem")
        assert cursor.fetchone()
    until("files or memory stay", ANSWER_LIMIT, lambda: at_rest(one))


# With less, Q2 has no room for the rows that its order keeps.
@pytest.mark.parametrize("limit", [64, 8, 4])
def test_answers(one, limit):
    wrong = {}
    for number in tpch.NUMBERS:
        with one.connect("tpch", read_timeout=ANSWER_LIMIT) as connection:
            connection.cursor().execute(f"SET pando_query_memory = {limit * MIB}")
            try:
                found = tpch.difference(SCALE, number, tpch.run(connection, number))
            except pymysql.err.MySQLError as error:
                found = str(error)
        if found:
            wrong[f"Q{number}"] = found
    assert not wrong, wrong
    until("files or memory stay", ANSWER_LIMIT, lambda: at_rest(one))


class Running(threading.Thread):
    """A query that takes long, on a connection of its own. `reads`: whether it reads what comes."""

    def __init__(self, server, sql, limit, reads=True):
        super().__init__(daemon=True)
        self.connection = server.connect("tpch", read_timeout=ANSWER_LIMIT)
        self.id = self.connection.thread_id()
        self.cursor = self.connection.cursor(None if reads else pymysql.cursors.SSCursor)
        self.cursor.execute(f"SET pando_query_memory = {limit * MIB}")
        self.sql, self.reads = sql, reads
        self.error = None
        self.start()

    def run(self):
        try:
            self.cursor.execute(self.sql)
        except pymysql.err.MySQLError as error:
            self.error = error.args[0]

    def read_on(self):
        """Reads what was left, to the error at its end."""
        self.join(ANSWER_LIMIT)
        if self.error is not None:
            return
        try:
            while self.cursor.fetchmany(1000):
                pass
        except pymysql.err.MySQLError as error:
            self.error = error.args[0]


class Watch:
    """What a server and its nodes show of a query."""

    def __init__(self, server, nodes):
        self.server, self.nodes = server, nodes
        self.folders = [node.data for node in nodes]
        self.connection = server.connect(autocommit=True)
        self.cursor = self.connection.cursor()

    def sum(self, metric):
        return sum(node.metrics().get(metric, 0) for node in self.nodes)

    def state(self, query):
        self.cursor.execute("SHOW FULL PROCESSLIST")
        names = [column[0] for column in self.cursor.description]
        rows = [dict(zip(names, row)) for row in self.cursor.fetchall()]
        return next(((row["Command"], row["State"]) for row in rows if row["Id"] == query.id), ("Sleep", ""))

    def runs(self, query):
        return self.state(query)[1] in ("executing", "Sending to client")

    def has_files(self, _):
        return bool(spill_files(*self.folders))

    def waits(self, query):
        return self.state(query)[1] == "Waiting for admission"

    def sends(self, query):
        return self.state(query)[1] == "Sending to client"

    def kill(self, query):
        """How long it takes until the query is over and holds nothing anywhere."""
        begin = time.monotonic()
        self.cursor.execute(f"KILL QUERY {query.id}")
        if not query.reads:
            # What is on its way to a client that does not read comes before the error.
            query.read_on()
        until(
            "the query goes on, or files or memory stay",
            FREED_LIMIT,
            lambda: self.state(query)[0] == "Sleep"
            and self.sum("pando_query_memory_bytes") == 0
            and not self.has_files(query),
        )
        return time.monotonic() - begin


PAIRS = "SELECT COUNT(*) FROM lineitem AS a JOIN lineitem AS b ON a.l_extendedprice < b.l_tax + b.l_discount"

# Each phase of a query: a query that comes to it, its MiB, and how one sees that it has.
PHASES = {
    "scanning": ("SELECT COUNT(*) FROM lineitem WHERE l_comment RLIKE '(a|e)+.*(i|o)+.*xyz'", 64, Watch.runs),
    "joining": (PAIRS, 64, Watch.runs),
    "writing a join's sides": (OPERATORS["hash join"][2], 8, Watch.has_files),
    "writing a sort's runs": (OPERATORS["sort and window"][2], 4, Watch.has_files),
    "sending": ("SELECT * FROM lineitem", 64, Watch.sends),
}


def killed_in(phase, watch, delay):
    """Kills a query some time after it came to a phase."""
    sql, limit, reached = PHASES[phase]
    query = Running(watch.server, sql, limit, reads=phase != "sending")
    # One that is done already was too fast: the caller counts those that were killed.
    until("it does not come so far", ANSWER_LIMIT, lambda: reached(watch, query) or not query.is_alive())
    time.sleep(delay)
    took = watch.kill(query)
    query.read_on()
    return took, query.error


@pytest.mark.parametrize("phase", PHASES)
def test_a_kill_frees_memory_and_files(one, phase):
    watch = Watch(one, [one])
    errors = []
    for delay in (0, 0.05, 0.2):
        took, error = killed_in(phase, watch, delay)
        errors.append(error)
        print(f"{phase}, {delay} s after it began: free after {took * 1000:.0f} ms, errno {error}")
    # A query that was done before is no failure, but not each.
    assert 1317 in errors, errors
    with one.connect("tpch", read_timeout=ANSWER_LIMIT) as connection:
        assert tpch.difference(SCALE, 6, tpch.run(connection, 6)) is None


def test_a_kill_ends_the_wait_for_admission(one):
    watch = Watch(one, [one])
    watch.cursor.execute("SET GLOBAL admission_heavy_limit = 1")
    try:
        first = Running(one, PAIRS, 64)
        until("the first does not run", ANSWER_LIMIT, lambda: watch.runs(first))
        second = Running(one, PAIRS, 64)
        until("the second does not wait", ANSWER_LIMIT, lambda: watch.waits(second))
        begin = time.monotonic()
        watch.cursor.execute(f"KILL QUERY {second.id}")
        second.join(FREED_LIMIT)
        print(f"queued: over after {(time.monotonic() - begin) * 1000:.0f} ms")
        assert not second.is_alive() and second.error == 1317
        assert first.is_alive()
        watch.kill(first)
        first.join(ANSWER_LIMIT)
        assert first.error == 1317
    finally:
        watch.cursor.execute("SET GLOBAL admission_heavy_limit = DEFAULT")


def test_a_kill_frees_memory_and_files_on_every_node(tmp_path, rows):
    with Cluster.running(tmp_path / "cluster", leaves=3, aggregators=1, partitions=6) as cluster:
        tpch.load(cluster, "tpch", rows, 6)
        watch = Watch(cluster.master, cluster.nodes)
        errors = []
        for phase in PHASES:
            took, error = killed_in(phase, watch, 0.05)
            errors.append(error)
            print(f"{phase}: free on every node after {took * 1000:.0f} ms, errno {error}")
        assert errors.count(1317) > len(PHASES) // 2, errors
        cluster.wait_until_at_rest(ANSWER_LIMIT, "after kills")


def test_a_statement_too_large_for_memory_is_an_error(tmp_path):
    memory = 256 << 20
    server = Pando(tmp_path / "data", "--partitions", 2, "--memory", memory)
    server.start()
    try:
        with server.connect(autocommit=True) as connection:
            cursor = connection.cursor()
            cursor.execute("CREATE DATABASE d")
            connection.select_db("d")
            cursor.execute("CREATE TABLE t (a INT, s LONGTEXT)")
            values = lambda rows: "INSERT INTO t VALUES " + ",".join(["(7,'x')"] * rows)  # noqa: E731
            for statement in (values(1_000_000), "SELECT 1 IN (" + ",".join(["7"] * 3_000_000) + ")"):
                with pytest.raises(pymysql.err.MySQLError) as caught:
                    cursor.execute(statement)
                assert caught.value.args[0] == 1038 and "memory budget exhausted" in caught.value.args[1]
            cursor.execute("SHOW ERRORS")
            assert cursor.fetchall()[0][1] == 1038
            # What is one long value takes little more than its length.
            assert cursor.execute("INSERT INTO t VALUES (8, %s)", ["a" * 20_000_000]) == 1
            assert cursor.execute(values(50_000)) == 50_000
            assert server.resident_bytes(at_most=True) < 1.5 * memory
    finally:
        server.kill()
