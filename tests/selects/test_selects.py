"""Random queries over small tables with NULLs and duplicates: one leaf, and four leaves among which
everything is exchanged, answer what the referee answers.

PANDO_SELECTS=20000 tries so many queries, over new rows every 500; PANDO_SELECTS_FROM is the first seed. A
report names the seed of what is wrong: PANDO_SELECTS=1 PANDO_SELECTS_FROM=seed plays it again.
"""

import concurrent.futures
import contextlib
import os
import threading

import pytest
import select_engines
import select_tables
from pando_cluster import Cluster, needs_programs
from pando_process import Pando
from select_found import FOUND
from select_grammar import Grammar
from select_tree import Node

pytestmark = [needs_programs, pytest.mark.timeout(0)]

COUNT = int(os.environ.get("PANDO_SELECTS", "300"))
FIRST = int(os.environ.get("PANDO_SELECTS_FROM", "1"))
PER_WORLD = 500
SESSIONS = 3
# Queries that the referee does not know or that Pando refuses are no test; most must be one.
LEAST_SHARE = 0.6
REPORTS = 20


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    """What connects to each of them, by name."""
    folder = tmp_path_factory.mktemp("selects")
    one = Pando(folder / "one", "--partitions", 3, "--memory", "1GiB")
    one.start()
    try:
        with Cluster.running(folder / "four", leaves=4, aggregators=0, partitions=6, memory="512MiB") as four:
            yield {"one leaf": one.connect, "four leaves": four.master.connect}
    finally:
        one.kill()


@contextlib.contextmanager
def filled(world, engines, folder):
    """A database with the rows of a world on each engine; yields what makes a judge of them."""
    database = f"world_{world}"
    for connect in engines.values():
        with connect(autocommit=True, local_infile=True) as connection:
            connection.cursor().execute(f"CREATE DATABASE {database}")
            connection.select_db(database)
            select_tables.fill(connection, world, folder)

    def judge():
        sessions = [
            select_engines.Engine(name, lambda connect=connect, **options: connect(database, **options))
            for name, connect in engines.items()
        ]
        return select_engines.Judge(select_engines.Referee(world), sessions)

    yield judge
    for connect in engines.values():
        with connect(autocommit=True) as connection:
            connection.cursor().execute(f"DROP DATABASE {database}")


def work_through(world, seeds, engines, folder, report):
    todo = iter(seeds)
    lock = threading.Lock()

    def session(judge):
        while True:
            with lock:
                seed = next(todo, None)
            if seed is None:
                break
            if problem := judge.check(Grammar(seed).statement()):
                report(f"seed {seed}\n{problem}")
        judge.close()
        return judge

    with filled(world, engines, folder) as judge, concurrent.futures.ThreadPoolExecutor(SESSIONS) as pool:
        return [future.result() for future in [pool.submit(session, judge()) for _ in range(SESSIONS)]]


def test_found_before(engines, tmp_path):
    with filled("of_found", engines, tmp_path) as judge:
        judge = judge()
        wrong = []
        for query in FOUND:
            sql, asked = query if isinstance(query, tuple) else (query, query)
            found = judge.wrong(Node("statement", (sql, asked)))
            if found is None:
                wrong.append(f"{asked}\nthe referee: {judge.referee.error}")
            elif found:
                wrong.append(f"{sql}\n{found}")
        judge.close()
    assert not wrong, "\n\n".join(wrong)


def test_random_queries(engines, tmp_path):
    reports = []
    judges = []

    def report(text):
        print(text, end="\n\n", flush=True)
        reports.append(text)

    begin, end = FIRST, FIRST + COUNT
    for world in range(begin // PER_WORLD, (end - 1) // PER_WORLD + 1):
        seeds = range(max(begin, world * PER_WORLD), min(end, (world + 1) * PER_WORLD))
        judges += work_through(world, seeds, engines, tmp_path, report)
    compared = sum(judge.compared for judge in judges)
    not_judged = sum(judge.not_judged for judge in judges)
    refused = {}
    for judge in judges:
        for text, times in judge.refused.items():
            refused[text] = refused.get(text, 0) + times
    print(f"{compared} of {COUNT} compared; the referee did not answer {not_judged}; refused: {refused}")
    assert not reports, f"{len(reports)} queries are wrong:\n" + "\n\n".join(reports[:REPORTS])
    assert COUNT < 50 or compared >= LEAST_SHARE * COUNT
