"""The 22 TPC-H answers are right, and come, whatever the planner is told of the tables.

PANDO_STATISTICS_SEEDS=100 tries so many scrambled statistics; PANDO_STATISTICS_FROM is the first seed.
"""

import contextlib
import os

import pymysql
import pytest
import tpch
from pando_cluster import Cluster, needs_programs
from pando_process import Pando

SCALE = "0.01"
SEEDS = int(os.environ.get("PANDO_STATISTICS_SEEDS", "3"))
FIRST = int(os.environ.get("PANDO_STATISTICS_FROM", "1"))
# No answer for so long is a hang, or a plan that nobody should get. The programs are built for debugging.
ANSWER_LIMIT = 20
pytestmark = [needs_programs, pytest.mark.timeout(600 + SEEDS * 60)]


@contextlib.contextmanager
def one_process(folder):
    process = Pando(folder / "one", "--memory", "1GiB")
    process.start()
    try:
        yield process
    finally:
        process.kill()


@contextlib.contextmanager
def three_leaves(folder):
    with Cluster.running(folder / "cluster", leaves=3, aggregators=0, memory="512MiB") as cluster:
        yield cluster.master


def difference(server, kind, seed, number):
    """How the answer is wrong, or fails to come."""
    with server.connect("tpch", read_timeout=ANSWER_LIMIT) as connection:
        cursor = connection.cursor()
        cursor.execute(f"SET pando_statistics = {kind}, pando_statistics_seed = {seed}")
        try:
            return tpch.difference(SCALE, number, tpch.run(connection, number))
        except pymysql.err.MySQLError as error:
            return str(error)


@pytest.mark.parametrize("running", [one_process, three_leaves])
def test_answers(running, tmp_path):
    rows = tmp_path / "rows"
    rows.mkdir()
    tpch.make_rows(SCALE, rows)
    with running(tmp_path) as server:
        tpch.load(server, "tpch", rows, 4)
        told = [("NONE", 0), *(("SCRAMBLED", seed) for seed in range(FIRST, FIRST + SEEDS))]
        plans = set()
        wrong = {}
        for kind, seed in told:
            for number in tpch.NUMBERS:
                if found := difference(server, kind, seed, number):
                    wrong[f"Q{number} {kind} {seed}"] = found
            with server.connect("tpch") as connection:
                cursor = connection.cursor()
                cursor.execute(f"SET pando_statistics = {kind}, pando_statistics_seed = {seed}")
                cursor.execute(f"EXPLAIN {tpch.query(9)}")
                plans.add(str(cursor.fetchall()))
        assert not wrong, wrong
        # What it is told does change what it does.
        assert len(plans) == len(told)
