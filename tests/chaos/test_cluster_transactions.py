"""A transaction whose leaf dies: all of it goes, and its client is told so."""

import time

import pymysql
import pytest
from pando_cluster import Cluster, needs_programs

pytestmark = needs_programs

LIMIT = 10


def inserted(first):
    return "INSERT INTO t VALUES " + ", ".join(f"({i})" for i in range(first, first + 100))


def test_a_statement_that_a_dead_leaf_fails_ends_its_transaction(tmp_path):
    with Cluster.running(tmp_path, leaves=2, aggregators=1, partitions=4) as cluster:
        cluster.query("CREATE DATABASE d")
        cluster.query("CREATE TABLE t (id INT NOT NULL, PRIMARY KEY (id), SHARD KEY (id))", "d")
        victim = cluster.leaves[1]
        with cluster.connect("d", autocommit=True) as connection:
            cursor = connection.cursor()
            cursor.execute("BEGIN")
            cursor.execute(inserted(0))
            victim.kill()
            with pytest.raises(pymysql.err.MySQLError) as caught:
                cursor.execute(inserted(100))
            assert caught.value.args[0] == 1213 and "The transaction was rolled back" in caught.value.args[1]
            cluster.start([victim])
            deadline = time.monotonic() + LIMIT
            while {row[5] for row in cluster.query("SHOW LEAVES")} != {"online"}:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            # No transaction is open any more.
            cursor.execute(inserted(200))
            cursor.execute("ROLLBACK")
            cursor.execute("SELECT COUNT(*), MIN(id) FROM t")
            assert cursor.fetchall() == ((100, 200),)
