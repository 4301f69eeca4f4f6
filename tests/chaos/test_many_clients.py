"""Many clients run the TPC-H queries at once: every answer is right and comes, and the process stays in its budget.

PANDO_CLIENTS_SECONDS=600 PANDO_CLIENTS=64 PANDO_CLIENTS_SCALE=0.1 runs them for ten minutes.
"""

import os
import random
import threading
import time

import pymysql
import pytest
import tpch
from pando_cluster import needs_programs
from pando_process import Pando
from seeds import seed

SCALE = os.environ.get("PANDO_CLIENTS_SCALE", "0.01")
CLIENTS = int(os.environ.get("PANDO_CLIENTS", "64"))
SECONDS = float(os.environ.get("PANDO_CLIENTS_SECONDS", "10"))
# No answer for so long is a hang: each waits for all the others.
ANSWER_LIMIT = 120
MEMORY = 1 << 30
# What the process may have in RAM: its budget, and what is not counted of buffers and plans.
MOST_RESIDENT = MEMORY * 1.3
pytestmark = [needs_programs, pytest.mark.timeout(SECONDS + 400)]


class Client(threading.Thread):
    def __init__(self, server, number, dice, until):
        super().__init__(daemon=True)
        self.server, self.number, self.dice, self.until = server, number, dice, until
        self.wrong = []
        self.done = 0

    def run(self):
        with self.server.connect("tpch", read_timeout=ANSWER_LIMIT) as connection:
            while self.done == 0 or time.monotonic() < self.until:
                number = self.dice.choice(tpch.NUMBERS)
                try:
                    found = tpch.difference(SCALE, number, tpch.run(connection, number))
                except pymysql.err.MySQLError as error:
                    found = str(error)
                    connection.ping(reconnect=True)
                if found:
                    self.wrong.append(f"client {self.number}, Q{number}: {found}")
                self.done += 1


def test_many_clients(tmp_path):
    rows = tmp_path / "rows"
    rows.mkdir()
    tpch.make_rows(SCALE, rows)
    server = Pando(tmp_path / "data", "--partitions", 4, "--memory", MEMORY)
    server.start()
    try:
        tpch.load(server, "tpch", rows, 4)
        dice = random.Random(seed())
        end = time.monotonic() + SECONDS
        clients = [Client(server, number, random.Random(dice.random()), end) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        most, held, running = 0, 0, 0
        while any(client.is_alive() for client in clients):
            assert time.monotonic() < end + ANSWER_LIMIT + 60, "clients hang"
            metrics = server.metrics()
            most = max(most, server.resident_bytes())
            held = max(held, metrics["pando_query_memory_bytes"])
            running = max(running, metrics["pando_statements_running"])
            time.sleep(0.05)
        wrong = [problem for client in clients for problem in client.wrong]
        done = sum(client.done for client in clients)
        print(f"{done} queries by {CLIENTS} clients; at most {running:.0f} ran, held {held / 2**20:.0f} MiB,"
              f" resident {most / 2**20:.0f} MiB")
        assert not wrong, wrong[:20]
        assert done >= CLIENTS
        assert 0 < held <= MEMORY
        assert most <= MOST_RESIDENT
        assert 0 < running <= CLIENTS
        begin = time.monotonic()
        while any(server.metrics()[name] for name in ("pando_query_memory_bytes", "pando_statements_running")):
            assert time.monotonic() < begin + 10, server.metrics()
            time.sleep(0.05)
        assert not [path for path in server.data.rglob("tmp/datafusion-*/*") if path.is_file()]
    finally:
        server.kill()
