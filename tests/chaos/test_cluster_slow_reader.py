"""A client that asks for much and stops reading holds up nobody else, costs bounded memory, and when it
leaves nothing of it stays."""

import time

import pymysql
import pytest
import tpch
from pando_cluster import Cluster, needs_programs

pytestmark = needs_programs

SCALE = "0.01"
# About 60,000 rows of 120 bytes, 25 times: far more than any buffer on the way.
LARGE = "SELECT l.*, n_name FROM lineitem l, nation"
LESS = f"{LARGE} WHERE n_nationkey < 2"
SLOW = 6
# What one slow reader of some 300 MB may cost all processes together: batches under way on each partition and
# what queues and credits let wait, as they are accounted; and with socket buffers and what allocators keep of
# the moment when all of them begin.
ACCOUNTED = 28 << 20
RESIDENT = 48 << 20
OTHERS = 20
# Until the server has noticed that clients are gone.
CLEAN_LIMIT = 10
# Generous for a small query beside what fills the buffers of the slow ones; an answer that waits for a slow
# reader does not come at all.
ANSWER_LIMIT = 10


class SlowReader:
    """Sends a query and reads the first row of its answer, then nothing."""

    def __init__(self, cluster, aggregator, sql):
        self.connection = cluster.connect("tpch", aggregator, read_timeout=60)
        self.cursor = self.connection.cursor(pymysql.cursors.SSCursor)
        self.cursor.execute(sql)
        assert self.cursor.fetchone() is not None

    def leave(self):
        """Goes without a word."""
        # Else PyMySQL reads the rest as the cursor goes.
        self.cursor._result.unbuffered_active = False
        self.connection._force_close()

    def read_on(self):
        """Reads to the end; returns the number of rows."""
        rows = 1
        while self.cursor.fetchone() is not None:
            rows += 1
        self.connection.close()
        return rows


def resident(cluster):
    return sum(node.resident_bytes() for node in cluster.nodes)


def accounted(cluster):
    return sum(node.metrics()["pando_query_memory_bytes"] for node in cluster.nodes)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slow")
    tpch.make_rows(SCALE, folder / "rows")
    with Cluster.running(folder / "cluster", leaves=2, aggregators=2, partitions=4) as cluster:
        tpch.load(cluster, "tpch", folder / "rows", 4)
        yield cluster


def run_others(cluster):
    """Small queries on both aggregators, right each. The slowest, and the most memory that all processes
    together held meanwhile."""
    slowest = 0
    most = 0
    for number in range(OTHERS):
        begin = time.monotonic()
        query = (1, 3, 6)[number % 3]
        with cluster.connect("tpch", number % 2, read_timeout=ANSWER_LIMIT) as connection:
            assert tpch.difference(SCALE, query, tpch.run(connection, query)) is None
        slowest = max(slowest, time.monotonic() - begin)
        most = max(most, resident(cluster))
    return slowest, most


def test_slow_readers(cluster):
    # What the same work costs without them: caches, and what allocators keep.
    for aggregator in range(2):
        cluster.query(f"SELECT COUNT(*) FROM ({LARGE}) AS x", "tpch", aggregator)
    _, before = run_others(cluster)
    slow = [SlowReader(cluster, number % 2, LARGE) for number in range(SLOW)]
    patient = SlowReader(cluster, 0, LESS)
    slowest, most = run_others(cluster)
    grown = (most - before) >> 20
    held = int(accounted(cluster)) >> 20
    print(f"{SLOW} slow readers: slowest other query {slowest:.2f} s, {held} MiB held, memory grew by {grown} MiB")
    assert 0 < held < (SLOW + 1) * ACCOUNTED >> 20
    assert grown < (SLOW + 1) * RESIDENT >> 20
    # Another write and a schema change get through as well.
    cluster.query("CREATE TABLE beside (id INT NOT NULL, PRIMARY KEY (id), SHARD KEY (id))", "tpch")
    cluster.query("INSERT INTO beside VALUES (1), (2), (3)", "tpch", 1)
    for reader in slow:
        reader.leave()
    # One that only took a rest gets all of it.
    ((rows,),) = cluster.query("SELECT COUNT(*) FROM lineitem", "tpch")
    assert patient.read_on() == rows * 2
    cluster.wait_until_at_rest(CLEAN_LIMIT, "after slow readers")
