"""kill -9 amid writes: after each restart every acknowledged statement is there once and whole, and no
other is half there."""

import os
import random
import time

from seeds import seed
from workload import COUNTERS, SCHEMA, Book, Client

CLIENTS = 8
ROUNDS = int(os.environ.get("PANDO_CHAOS_ROUNDS", "20"))


def prepare(pando, folder):
    with pando.connect(autocommit=True) as connection:
        connection.cursor().execute("CREATE DATABASE chaos")
    with pando.connect("chaos", autocommit=True) as connection:
        cursor = connection.cursor()
        for statement in SCHEMA:
            cursor.execute(statement)
        for client in range(CLIENTS):
            rows = ", ".join(f"({client * COUNTERS + number}, {client}, 0)" for number in range(COUNTERS))
            cursor.execute(f"INSERT INTO counters VALUES {rows}")
    return [Book(client, folder) for client in range(CLIENTS)]


def test_kill(pando, tmp_path):
    dice = random.Random(seed())
    books = prepare(pando, tmp_path)
    done, answers, starts = 0, [], []
    for _ in range(ROUNDS):
        clients = [Client(pando, book, dice.random()) for book in books]
        for client in clients:
            client.start()
        time.sleep(dice.uniform(0.2, 1.8))
        pando.kill()
        for client in clients:
            client.join(30)
            assert not client.is_alive(), "a client hangs on a dead server"
            assert client.failure is None, client.failure
            done += client.done
        starts.append(pando.start())
        with pando.connect("chaos", autocommit=True) as connection:
            answers += [book.check(connection.cursor()) for book in books]
    # Once more after an orderly stop.
    assert pando.stop() == 0
    pando.start()
    with pando.connect("chaos", autocommit=True) as connection:
        for book in books:
            book.check(connection.cursor())
    open_questions = [answer for answer in answers if answer is not None]
    print(
        f"{done} acknowledged, {len(open_questions)} without an answer ({sum(open_questions)} of them kept), "
        f"slowest start {max(starts):.1f} s"
    )
    assert done >= 10 * ROUNDS, "the clients did next to nothing"
    assert max(starts) < 10
