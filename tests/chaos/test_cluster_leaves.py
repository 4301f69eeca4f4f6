"""ADD LEAF and REMOVE LEAF: a leaf without partitions leaves the cluster and is let in again."""

import time

import pymysql
import pytest
from pando_cluster import Cluster, needs_programs

pytestmark = needs_programs

LIMIT = 10


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster.running(tmp_path_factory.mktemp("leaves"), leaves=2, aggregators=2, partitions=4) as cluster:
        yield cluster


def states(cluster, aggregator=0):
    """The leaves by host, as SHOW LEAVES has them."""
    return {row[0]: row[5] for row in cluster.query("SHOW LEAVES", aggregator=aggregator)}


def partitions_of(cluster, database):
    return {row[1] for row in cluster.query(f"SHOW PARTITIONS ON {database}")}


def warnings(cluster, sql):
    with cluster.connect(autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute(sql)
        cursor.execute("SHOW WARNINGS")
        return [row[2] for row in cursor.fetchall()]


def refused(cluster, sql):
    with pytest.raises(pymysql.err.MySQLError) as caught:
        cluster.query(sql)
    return caught.value.args


def test_a_leaf_goes_and_comes_back(cluster):
    first, second = cluster.leaves
    address = f"'{second.ip}':7307"
    assert states(cluster) == {first.ip: "online", second.ip: "online"}
    cluster.query("CREATE DATABASE held")
    assert partitions_of(cluster, "held") == {first.ip, second.ip}
    number, text = refused(cluster, f"REMOVE LEAF {address}")
    assert number == 1105 and f"Leaf {address} holds partitions: 2 of database 'held'" in text
    assert states(cluster)[second.ip] == "online"
    assert warnings(cluster, f"ADD LEAF {address}")[0].endswith("is part of the cluster already")
    cluster.query("DROP DATABASE held")

    cluster.query(f"REMOVE LEAF {address}")
    # On every aggregator, at once.
    for aggregator in range(2):
        assert states(cluster, aggregator) == {first.ip: "online"}
    assert second.ip not in {row[1] for row in cluster.query("SHOW CLUSTER STATUS")}
    number, text = refused(cluster, f"REMOVE LEAF {address}")
    assert number == 1105 and "knows no leaf" in text
    number, text = refused(cluster, f"REMOVE LEAF '{first.ip}':7307")
    assert number == 1105 and "only leaf" in text
    cluster.query("CREATE DATABASE without")
    assert partitions_of(cluster, "without") == {first.ip}
    # Its process goes on, and is not heard, nor after a restart.
    assert second.process.poll() is None
    second.stop()
    second.spawn()
    assert second.process.wait(LIMIT) == 2
    log = second.log.read_text()
    assert f"ADD LEAF {address} lets it in again" in log, log

    # While it is away it is let in, and comes when it is started.
    begin = time.monotonic()
    assert "offline until its process is there" in warnings(cluster, f"ADD LEAF {address}")[0]
    assert time.monotonic() - begin < LIMIT
    assert states(cluster) == {first.ip: "online", second.ip: "offline"}
    cluster.start([second])
    deadline = time.monotonic() + LIMIT
    while states(cluster)[second.ip] != "online":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # While it runs it is there again when the statement ends, and takes partitions.
    cluster.query(f"REMOVE LEAF {address}")
    cluster.query(f"ADD LEAF {address}")
    assert states(cluster) == {first.ip: "online", second.ip: "online"}
    cluster.query("CREATE DATABASE again")
    assert partitions_of(cluster, "again") == {first.ip, second.ip}
    cluster.query("CREATE TABLE t (id INT NOT NULL, PRIMARY KEY (id), SHARD KEY (id))", "again")
    cluster.query("INSERT INTO t VALUES " + ", ".join(f"({i})" for i in range(100)), "again")
    assert cluster.query("SELECT COUNT(*) FROM t", "again", 1) == ((100,),)


def test_what_is_not_there_or_not_supported(cluster):
    number, text = refused(cluster, "ADD LEAF '127.0.0.99':7399")
    assert number == 1105 and "start pando-leaf there with --join" in text
    assert refused(cluster, "ADD LEAF root:'secret'@'127.0.0.99':7307")[0] == 1235
    assert refused(cluster, "REMOVE LEAF '127.0.0.99':7307 FORCE")[0] == 1235
    cluster.query("CREATE USER 'clerk'@'%' IDENTIFIED BY 'x'")
    with cluster.connect(user="clerk", password="x") as connection:
        for sql in ("ADD LEAF '127.0.0.99'", "REMOVE LEAF '127.0.0.99'"):
            with pytest.raises(pymysql.err.MySQLError) as caught:
                connection.cursor().execute(sql)
            assert caught.value.args[0] == 1227
