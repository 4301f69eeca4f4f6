"""Writers move amounts between rows of different partitions; a reader's total never changes."""

import os
import random
import threading
import time

import pymysql
from transfers import ACCOUNTS, AGAIN, AMOUNT, TOTAL, create_accounts, move

WRITERS = 6
READERS = 3
TRANSFERS = int(os.environ.get("PANDO_TRANSFERS", "10000"))


class Bank:
    def __init__(self, pando):
        self.pando = pando
        self.lock = threading.Lock()
        self.moved = 0
        self.tried_again = 0
        self.reads = 0
        self.failures = []

    def done(self):
        return self.moved >= TRANSFERS or self.failures

    def guarded(self, work, *arguments):
        try:
            work(*arguments)
        except BaseException as error:  # noqa: BLE001 - the test shows it
            self.failures.append(error)

    def write(self, seed):
        dice = random.Random(seed)
        with self.pando.connect("bank") as connection:
            cursor = connection.cursor()
            while not self.done():
                source, target = dice.sample(range(ACCOUNTS), 2)
                amount = dice.randrange(1, 20)
                try:
                    move(cursor, dice, source, target, amount)
                    connection.commit()
                except pymysql.err.OperationalError as error:
                    if error.args[0] not in AGAIN:
                        raise
                    connection.rollback()
                    with self.lock:
                        self.tried_again += 1
                    continue
                with self.lock:
                    self.moved += 1

    def read(self, autocommit):
        with self.pando.connect("bank", autocommit=autocommit) as connection:
            cursor = connection.cursor()
            while not self.done():
                cursor.execute(TOTAL)
                (row,) = cursor.fetchall()
                connection.commit()
                assert row == (ACCOUNTS, ACCOUNTS * AMOUNT), row
                with self.lock:
                    self.reads += 1


def test_total_never_changes(pando):
    with pando.connect(autocommit=True) as connection:
        connection.cursor().execute("CREATE DATABASE bank")
    with pando.connect("bank", autocommit=True) as connection:
        create_accounts(connection.cursor())
    bank = Bank(pando)
    threads = [threading.Thread(target=bank.guarded, args=(bank.write, seed)) for seed in range(WRITERS)]
    threads += [threading.Thread(target=bank.guarded, args=(bank.read, seed % 2 == 0)) for seed in range(READERS)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(400)
        assert not thread.is_alive(), f"a client hangs after {bank.moved} transfers"
    seconds = time.monotonic() - begin
    print(f"{bank.moved} transfers, {bank.tried_again} tried again, {bank.reads} reads in {seconds:.1f} s")
    assert not bank.failures, bank.failures
    assert bank.moved >= TRANSFERS
    assert bank.reads >= 100
    # And it is so after a crash.
    pando.kill()
    pando.start()
    with pando.connect("bank") as connection:
        cursor = connection.cursor()
        cursor.execute(TOTAL)
        assert cursor.fetchall() == ((ACCOUNTS, ACCOUNTS * AMOUNT),)
