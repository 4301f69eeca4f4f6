"""A transaction whose leaf dies: all of it goes, and its client is told so."""

import time

import pymysql
import pytest
from pando_cluster import Cluster, needs_programs

pytestmark = needs_programs

LIMIT = 10


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("transactions")
    with Cluster.running(folder, leaves=2, aggregators=1, partitions=4) as cluster:
        cluster.query("CREATE DATABASE d")
        cluster.query("CREATE TABLE t (id INT NOT NULL, PRIMARY KEY (id), SHARD KEY (id))", "d")
        yield cluster


def inserted(first):
    return "INSERT INTO t VALUES " + ", ".join(f"({i})" for i in range(first, first + 100))


def started_again(cluster, leaf):
    cluster.start([leaf])
    deadline = time.monotonic() + LIMIT
    while {row[-1] for row in cluster.query("SHOW LEAVES")} != {"running"}:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def rolled_back(cursor, sql):
    with pytest.raises(pymysql.err.MySQLError) as caught:
        cursor.execute(sql)
    number, text = caught.value.args
    assert number == 1213 and "The transaction was rolled back" in text


@pytest.mark.parametrize("way", ["statement", "savepoint", "commit"])
def test_a_dead_leaf_ends_the_transaction(cluster, way):
    victim = cluster.leaves[1]
    with cluster.connect("d", autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("DELETE FROM t")
        cursor.execute("BEGIN")
        cursor.execute(inserted(0))
        cursor.execute("SAVEPOINT s")
        cursor.execute(inserted(100))
        victim.kill()
        if way == "statement":
            rolled_back(cursor, inserted(200))
        elif way == "savepoint":
            rolled_back(cursor, "ROLLBACK TO SAVEPOINT s")
        started_again(cluster, victim)
        if way == "commit":
            rolled_back(cursor, "COMMIT")
        # No transaction is open any more.
        cursor.execute(inserted(300))
        cursor.execute("ROLLBACK")
        cursor.execute("SELECT COUNT(*), MIN(id) FROM t")
        assert cursor.fetchall() == ((100, 300),)


@pytest.mark.parametrize("way", ["scan", "keys", "few"])
def test_a_read_where_the_transaction_wrote_is_told_of_the_loss(cluster, way):
    victim = cluster.leaves[1]
    with cluster.connect("d", autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("DELETE FROM t")
        cursor.execute("BEGIN")
        cursor.execute(inserted(0))
        cursor.execute("SELECT COUNT(*) FROM t")
        assert cursor.fetchall() == ((100,),)
        victim.kill()
        started_again(cluster, victim)
        if way == "scan":
            rolled_back(cursor, "SELECT COUNT(*) FROM t")
        elif way == "few":
            rolled_back(cursor, f"SELECT id FROM t WHERE id IN ({', '.join(map(str, range(20)))})")
        else:
            with pytest.raises(pymysql.err.MySQLError) as caught:
                for key in range(100):
                    cursor.execute(f"SELECT id FROM t WHERE id = {key}")
            number, text = caught.value.args
            assert number == 1213 and "The transaction was rolled back" in text
        # No transaction is open any more.
        cursor.execute(inserted(300))
        cursor.execute("ROLLBACK")
        cursor.execute("SELECT COUNT(*), MIN(id) FROM t")
        assert cursor.fetchall() == ((100, 300),)
