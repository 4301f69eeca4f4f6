"""The 22 TPC-H answers are right whatever the number of leaves and of partitions, through any aggregator.

PANDO_TPCH_ALL=1 tries every number of leaves with every number of partitions.
"""

import os

import pymysql
import pytest
import tpch
from pando_cluster import Cluster, needs_programs

SCALE = "0.05"
LEAVES = (1, 2, 4, 7)
PARTITIONS = (1, 3, 8, 16)
# No answer for so long is a hang.
ANSWER_LIMIT = 30
ALL = os.environ.get("PANDO_TPCH_ALL") == "1"
pytestmark = [needs_programs, pytest.mark.timeout(3600 if ALL else 600)]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    tpch.make_rows(SCALE, folder)
    return folder


def partitions_with(leaves):
    """In the short form each number of partitions is tried with one number of leaves: sometimes fewer
    partitions than leaves, sometimes more."""
    return PARTITIONS if ALL else (PARTITIONS[LEAVES.index(leaves) - 2],)


def difference(cluster, aggregator, number):
    """How the answer is wrong, or fails to come."""
    with cluster.connect("tpch", aggregator, read_timeout=ANSWER_LIMIT) as connection:
        try:
            return tpch.difference(SCALE, number, tpch.run(connection, number))
        except pymysql.err.MySQLError as error:
            return str(error)


@pytest.mark.parametrize("leaves", LEAVES)
def test_answers(leaves, rows, tmp_path):
    with Cluster.running(tmp_path / "cluster", leaves=leaves, aggregators=2, memory="1GiB") as cluster:
        for partitions in partitions_with(leaves):
            tpch.load(cluster, "tpch", rows, partitions)
            placed = cluster.query("SHOW PARTITIONS ON tpch", aggregator=1)
            homes = {(row[1], row[2]) for row in placed}
            assert len(placed) == partitions and len(homes) == min(leaves, partitions), placed
            wrong = {}
            for aggregator in range(2):
                # In the short form the aggregators share the queries.
                for number in tpch.NUMBERS if ALL else tpch.NUMBERS[aggregator::2]:
                    if found := difference(cluster, aggregator, number):
                        wrong[f"Q{number} through {aggregator}"] = found
            assert not wrong, f"{leaves} leaves, {partitions} partitions: {wrong}"
            cluster.query("DROP DATABASE tpch")
        assert cluster.stop() == {}
