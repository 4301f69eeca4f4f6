"""A cut cable between an aggregator and one leaf, on hosts of the tests' own (network namespaces): what
needs the leaf fails with an error that names it, what does not goes on, through the other aggregator
everything does; and when the cable is mended all resumes, without a restart."""

import time

import hosts
import pymysql
import pytest
from pando_cluster import Cluster, needs_programs

pytestmark = [needs_programs, pytest.mark.skipif(hosts.why_not() is not None, reason=str(hosts.why_not()))]

ROWS = 200
# Until a statement that needs the leaf has failed: the time after which a silent peer counts as gone.
ERROR_LIMIT = 15
RESUME_LIMIT = 15
# Until a change of the catalog has failed: the masters may be choosing a leader, which takes a while.
CATALOG_LIMIT = 20
TOTAL = ((ROWS, sum(range(ROWS))),)


@pytest.fixture
def network():
    with hosts.Network() as network:
        yield network


@pytest.fixture
def cluster(network, tmp_path):
    with Cluster.running(tmp_path / "cluster", leaves=3, aggregators=2, partitions=6, network=network) as cluster:
        cluster.query("CREATE DATABASE d")
        cluster.query("CREATE TABLE d.t (id INT NOT NULL, v INT NOT NULL, PRIMARY KEY (id), SHARD KEY (id))")
        cluster.query("INSERT INTO d.t VALUES " + ", ".join(f"({n}, {n})" for n in range(ROWS)))
        # A database of one partition lies on one leaf alone.
        for number, leaf in enumerate(cluster.leaves):
            name = f"only_{number}"
            cluster.query(f"CREATE DATABASE {name} PARTITIONS 1")
            cluster.query(f"CREATE TABLE {name}.t (id INT NOT NULL, PRIMARY KEY (id), SHARD KEY (id))")
            cluster.query(f"INSERT INTO {name}.t VALUES (1), (2), (3)")
        yield cluster


def home(cluster, database):
    """The leaf that a database of one partition lies on."""
    (row,) = cluster.query(f"SHOW PARTITIONS ON {database}")
    (leaf,) = [leaf for leaf in cluster.leaves if leaf.ip == row[1]]
    return leaf


def fails(cluster, sql, leaf, aggregator):
    """The statement ends with an error that names the leaf, in time."""
    begin = time.monotonic()
    with cluster.connect(aggregator=aggregator, autocommit=True, read_timeout=60) as connection:
        with pytest.raises(pymysql.err.MySQLError) as caught:
            connection.cursor().execute(sql)
        seconds = time.monotonic() - begin
        assert leaf.ip in str(caught.value), f"{sql}: {caught.value}"
        assert seconds < ERROR_LIMIT, f"{sql}: {caught.value} after {seconds:.1f} s"
        # The connection itself is well.
        connection.ping(reconnect=False)
    return seconds


def succeeds(cluster, sql, aggregator):
    """The statement's rows, once it has succeeded, which must be in time."""
    deadline = time.monotonic() + RESUME_LIMIT
    while True:
        try:
            return cluster.query(sql, aggregator=aggregator)
        except pymysql.err.MySQLError as error:
            assert time.monotonic() < deadline, f"the cable is mended, but {sql}: {error}"
            time.sleep(0.1)


def test_cut(cluster, network):
    databases = {database: home(cluster, database) for database in ("only_0", "only_1", "only_2")}
    lost_database, lost = next(iter(databases.items()))
    others = [database for database, leaf in databases.items() if leaf is not lost]
    assert others, "placement put all databases of one partition on one leaf"
    pids = [node.pid for node in cluster.nodes]

    network.cut(cluster.aggregators[0].host, lost.host)
    seconds = [
        fails(cluster, "SELECT COUNT(*), SUM(v) FROM d.t", lost, 0),
        fails(cluster, f"SELECT * FROM {lost_database}.t", lost, 0),
        fails(cluster, f"INSERT INTO {lost_database}.t VALUES (4)", lost, 0),
        fails(cluster, "UPDATE d.t SET v = v + 1", lost, 0),
    ]
    print(f"errors after {', '.join(f'{one:.1f}' for one in seconds)} s")
    # What does not need the leaf goes on, at its usual speed.
    for database in others:
        begin = time.monotonic()
        cluster.query(f"INSERT INTO {database}.t VALUES (4)")
        assert len(cluster.query(f"SELECT * FROM {database}.t")) == 4
        assert time.monotonic() - begin < 3
    # The other aggregator reaches all leaves; nothing of what failed is there, nor any lock of it.
    assert succeeds(cluster, "SELECT COUNT(*), SUM(v) FROM d.t", 1) == TOTAL
    succeeds(cluster, "UPDATE d.t SET v = v + 1", 1)
    succeeds(cluster, "UPDATE d.t SET v = v - 1", 1)
    assert succeeds(cluster, f"SELECT COUNT(*) FROM {lost_database}.t", 1) == ((3,),)

    network.mend(cluster.aggregators[0].host, lost.host)
    assert succeeds(cluster, "SELECT COUNT(*), SUM(v) FROM d.t", 0) == TOTAL
    succeeds(cluster, f"INSERT INTO {lost_database}.t VALUES (4)", 0)
    succeeds(cluster, "UPDATE d.t SET v = v + 1", 0)
    assert succeeds(cluster, "SELECT COUNT(*), SUM(v) FROM d.t", 1) == ((ROWS, TOTAL[0][1] + ROWS),)
    assert [node.pid for node in cluster.nodes if node.process.poll() is None] == pids


def test_cut_between_leaves(cluster, network):
    """A query whose rows go from leaf to leaf fails; what one leaf answers, or each for itself, goes on."""
    cluster.query("CREATE TABLE d.u (id INT NOT NULL, other INT NOT NULL, PRIMARY KEY (id), SHARD KEY (id))")
    cluster.query("INSERT INTO d.u VALUES " + ", ".join(f"({n}, {ROWS - 1 - n})" for n in range(ROWS)))
    shuffle = "SELECT COUNT(*), SUM(t.v + u.id) FROM d.u JOIN d.t ON t.v = u.other"
    whole = ((ROWS, 2 * TOTAL[0][1]),)
    assert cluster.query(shuffle) == whole
    one, other = cluster.leaves[:2]
    network.cut(one.host, other.host)
    assert cluster.query("SELECT COUNT(*), SUM(v) FROM d.t") == TOTAL
    begin = time.monotonic()
    with cluster.connect(autocommit=True, read_timeout=60) as connection:
        cursor = connection.cursor()
        try:
            cursor.execute(shuffle)
            # Not if the plan sends nothing between these two: then it must be right.
            assert cursor.fetchall() == whole
        except pymysql.err.MySQLError as error:
            assert one.ip in str(error) or other.ip in str(error), error
    assert time.monotonic() - begin < ERROR_LIMIT
    assert cluster.query("SELECT COUNT(*), SUM(v) FROM d.t", aggregator=1) == TOTAL
    network.mend(one.host, other.host)
    assert succeeds(cluster, shuffle, 0) == whole


def test_cut_from_the_master(cluster, network):
    """Statements that change no catalog go on without the master; others fail, and later succeed."""
    for node in cluster.aggregators + cluster.leaves:
        network.cut(cluster.master.host, node.host)
    assert cluster.query("SELECT COUNT(*), SUM(v) FROM d.t") == TOTAL
    cluster.query("UPDATE d.t SET v = v + 0")
    begin = time.monotonic()
    with pytest.raises(pymysql.err.MySQLError):
        cluster.query("CREATE DATABASE later")
    assert time.monotonic() - begin < CATALOG_LIMIT
    assert cluster.query("SELECT COUNT(*), SUM(v) FROM d.t", aggregator=1) == TOTAL
    for node in cluster.aggregators + cluster.leaves:
        network.mend(cluster.master.host, node.host)
    succeeds(cluster, "CREATE DATABASE IF NOT EXISTS later", 0)
    succeeds(cluster, "CREATE TABLE later.t (id INT NOT NULL, PRIMARY KEY (id), SHARD KEY (id))", 1)
    assert succeeds(cluster, "SELECT COUNT(*) FROM later.t", 0) == ((0,),)
