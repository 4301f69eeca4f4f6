"""A leaf that is stopped (SIGSTOP), not dead: its connections stay open and new ones are taken, but nobody
answers. What needs it gets an error that names it within 5 s, whatever kind of statement that is and however
long the leaf has been stopped; what does not need it goes on; once the leaf goes on, so does everything."""

import signal
import threading
import time

import pymysql
import pytest
from pando_cluster import Cluster, needs_programs

pytestmark = needs_programs

ERROR_LIMIT = 5
# Generous for statements that need no leaf that is stopped.
ANSWER_LIMIT = 5
RESUME_LIMIT = 10
ROWS = 64
STATEMENTS = {
    "scan": "SELECT COUNT(*), SUM(v) FROM t",
    "join": "SELECT COUNT(*) FROM t a JOIN t b ON a.v = b.id",
    "insert": "INSERT INTO t SELECT id + 1000, v FROM t",
    "update": "UPDATE t SET v = v + 1",
    "delete": "DELETE FROM t WHERE v < 0",
    "locking read": "SELECT * FROM t FOR UPDATE",
    "looking at segments": "SELECT COUNT(*) FROM information_schema.PANDO_SEGMENTS",
    "looking at locks": "SELECT COUNT(*) FROM information_schema.PANDO_LOCKS",
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster.running(tmp_path_factory.mktemp("stopped"), leaves=2, aggregators=1, partitions=4) as cluster:
        cluster.query("CREATE DATABASE d")
        cluster.query("CREATE TABLE t (id INT NOT NULL, v INT, PRIMARY KEY (id), SHARD KEY (id))", "d")
        cluster.query("INSERT INTO t VALUES " + ", ".join(f"({i}, {i})" for i in range(ROWS)), "d")
        yield cluster


class Running(threading.Thread):
    """A statement on its connection: its error, and how long it took."""

    def __init__(self, connection, sql):
        super().__init__(daemon=True)
        self.cursor, self.sql = connection.cursor(), sql
        self.error = self.seconds = None
        self.start()

    def run(self):
        begin = time.monotonic()
        try:
            self.cursor.execute(self.sql)
        except pymysql.err.MySQLError as error:
            self.error = error
        self.seconds = time.monotonic() - begin


def check_failed(running, leaf, what):
    running.join(4 * ERROR_LIMIT)
    assert running.seconds is not None, f"{what}: no end at all"
    assert running.error is not None, f"{what}: no error"
    number, text = running.error.args
    assert leaf.ip in text, f"{what}: the error {number} does not name the leaf {leaf.ip}: {text}"
    assert running.seconds < ERROR_LIMIT, f"{what}: the error came after {running.seconds:.1f} s: {text}"
    return running.seconds


def resume(cluster, leaf):
    leaf.process.send_signal(signal.SIGCONT)
    deadline = time.monotonic() + RESUME_LIMIT
    while True:
        try:
            return cluster.query(STATEMENTS["scan"], "d")
        except pymysql.err.MySQLError as error:
            assert time.monotonic() < deadline, f"the leaf goes on, but: {error}"
            time.sleep(0.05)


def test_statements_fail_in_time_and_all_resumes(cluster):
    leaf = cluster.leaves[0]
    before = cluster.query(STATEMENTS["scan"], "d")
    connections = {what: cluster.connect("d", read_timeout=60) for what in STATEMENTS}
    # A transaction that has written on both leaves, and one that commits.
    writer, committer = (cluster.connect("d", read_timeout=60) for _ in range(2))
    writer.cursor().execute("UPDATE t SET v = v + 1 WHERE id < 8")
    committer.cursor().execute("UPDATE t SET v = v + 1 WHERE id >= 56")
    leaf.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    first = {what: Running(connections[what], sql) for what, sql in STATEMENTS.items()}
    first["next statement of a transaction"] = Running(writer, "UPDATE t SET v = v + 1 WHERE id < 16")
    slowest = max(check_failed(running, leaf, what) for what, running in first.items())
    # At the moment when connections have broken and the masters have not decided, and later.
    for after in (2.8, 3.1, 3.5, 4.5, 7):
        time.sleep(max(0, began + after - time.monotonic()))
        for what, sql in STATEMENTS.items():
            seconds = check_failed(Running(connections[what], sql), leaf, f"{what}, after {after} s")
            slowest = max(slowest, seconds)
    print(f"the slowest error came after {slowest:.1f} s")
    # What needs no leaf, or only the other one.
    begin = time.monotonic()
    cluster.query("SELECT 1")
    cluster.query("SHOW LEAVES")
    cluster.query("SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES")
    assert time.monotonic() - begin < ANSWER_LIMIT
    for connection in (*connections.values(), writer, committer):
        connection.close()
    assert resume(cluster, leaf) == before
    cluster.wait_until_at_rest(RESUME_LIMIT, "after a leaf was stopped")


def test_a_commit_ends_in_time(cluster):
    leaf = cluster.leaves[0]
    ((count, total),) = cluster.query(STATEMENTS["scan"], "d")
    connection = cluster.connect("d", read_timeout=60)
    connection.cursor().execute("UPDATE t SET v = v + 1")
    leaf.process.send_signal(signal.SIGSTOP)
    commit = Running(connection, "COMMIT")
    commit.join(4 * ERROR_LIMIT)
    assert commit.seconds is not None and commit.seconds < ERROR_LIMIT, f"COMMIT took {commit.seconds}"
    connection.close()
    # Whole or not at all; if it said that it is done, it is.
    after = resume(cluster, leaf)
    assert after in (((count, total),), ((count, total + count),))
    assert commit.error is not None or after == ((count, total + count),)


def test_a_wait_for_a_lock_of_another_process_is_killed_at_once(cluster):
    """A statement that waits on another process's leaf ends within 100 ms of KILL."""
    with cluster.connect("d") as holder, cluster.connect("d") as admin:
        holder.cursor().execute("UPDATE t SET v = v + 1 WHERE id = 7")
        for sql in ("UPDATE t SET v = 0 WHERE id = 7", "SELECT * FROM t WHERE id = 7 FOR SHARE"):
            times = []
            for _ in range(5):
                with cluster.connect("d", read_timeout=60) as waiter:
                    running = Running(waiter, sql)
                    while sum(leaf.metrics()["pando_lock_waiting"] for leaf in cluster.leaves) == 0:
                        assert running.is_alive(), f"{sql} did not wait: {running.error}"
                    begin = time.monotonic()
                    admin.cursor().execute(f"KILL QUERY {waiter.thread_id()}")
                    running.join(20)
                    times.append(time.monotonic() - begin)
                    assert running.error is not None and running.error.args[0] == 1317, running.error
            print(f"{sql}: ended {', '.join(f'{t * 1e3:.0f}' for t in times)} ms after KILL")
            # The machine may be busy with something else for a moment.
            assert min(times) < 0.1, f"{sql}: {times}"


def test_time_runs_out_while_a_leaf_does_not_answer(cluster):
    leaf = cluster.leaves[1]
    with cluster.connect("d", read_timeout=60) as connection:
        connection.cursor().execute("SET max_execution_time = 300")
        leaf.process.send_signal(signal.SIGSTOP)
        running = Running(connection, STATEMENTS["scan"])
        running.join(20)
        resume(cluster, leaf)
    assert running.error is not None and running.error.args[0] == 3024, running.error
    assert running.seconds < 2
