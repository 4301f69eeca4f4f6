"""Transfers between accounts while leaves, aggregators and the master are killed and started again at
random: no total wrong, no acknowledged transfer lost, none half done, no lock left.

PANDO_CHAOS_SECONDS is how long it goes on (40; the long run takes 600). PANDO_CHAOS_SEED plays the same
kills, at the same times after the start, again.
"""

import os
import random
import time

import ledger
import pytest
from pando_cluster import Cluster, needs_programs
from seeds import seed

SECONDS = float(os.environ.get("PANDO_CHAOS_SECONDS", "40"))
pytestmark = [needs_programs, pytest.mark.timeout(SECONDS + 300)]

WRITERS = 4
READERS = 2
# Once all processes are back: until every client has had an answer again.
RESUME_LIMIT = 20
# Until what a dead process left behind is gone: its lease, its prepared transactions.
SETTLE_LIMIT = 20


class Killer:
    def __init__(self, cluster, history, dice):
        self.cluster = cluster
        self.history = history
        self.dice = dice
        self.rounds = 0
        self.log = []

    def victims(self):
        """One process, now and then two, and rarely all of a role."""
        cluster, dice = self.cluster, self.dice
        roles = [cluster.leaves, cluster.aggregators, [cluster.master]]
        if dice.random() < 0.05:
            return list(dice.choice(roles))
        return dice.sample([*cluster.leaves, *cluster.leaves, *cluster.aggregators, cluster.master], dice.choice([1, 1, 1, 2]))

    def round(self):
        self.rounds += 1
        victims = list(dict.fromkeys(self.victims()))
        down = self.dice.choice([0.0, self.dice.uniform(0.1, 0.5), self.dice.uniform(0.5, 2.0)])
        together = self.dice.random() < 0.5
        wait = self.dice.uniform(0.05, 1.5)
        self.log.append(f"round {self.rounds}: kill {', '.join(map(str, victims))}, start after {down:.2f} s")
        for node in victims:
            node.kill()
            if not together:
                self.pause(down / len(victims))
        self.pause(down if together else 0.0)
        self.cluster.start(victims)
        # Every second time the next one comes before all have found each other again.
        if self.rounds % 2 == 0:
            self.wait_for_progress()
        self.pause(wait)

    def pause(self, seconds):
        """Lets the clients work, or fail."""
        self.history.over.wait(seconds)
        self.history.raise_failure()

    def wait_for_progress(self):
        before = {client: client.done for client in self.history.clients}
        deadline = time.monotonic() + RESUME_LIMIT
        while waiting := [client.name for client in before if client.done == before[client]]:
            assert time.monotonic() < deadline, f"all processes are there, but {waiting} do not get on"
            self.pause(0.02)


def test_transfers_while_processes_die(tmp_path):
    dice = random.Random(seed())
    with Cluster.running(tmp_path / "cluster") as cluster:
        ledger.create(cluster)
        history = ledger.History(cluster, dice, WRITERS, READERS)
        killer = Killer(cluster, history, dice)
        history.start()
        end = time.monotonic() + SECONDS
        try:
            while time.monotonic() < end:
                killer.round()
            killer.wait_for_progress()
            history.stop()
        except BaseException:
            history.over.set()
            print("\n".join(killer.log[-5:]))
            raise
        finally:
            print(f"{killer.rounds} rounds of killing in {SECONDS:.0f} s\n{history.report()}")
        settle(lambda: [history.check_locks(number) for number in range(len(cluster.aggregators))])
        cluster.wait_until_at_rest(SETTLE_LIMIT, "after the last transfer")
        kept = {frozenset(history.check(number)) for number in range(len(cluster.aggregators))}
        assert len(kept) == 1, "the aggregators do not show the same"
        assert len(history.of_all("acknowledged")) > 2 * SECONDS, "the writers did next to nothing"
        # And so it is after an orderly stop of everything.
        assert cluster.stop() == {}
        cluster.start()
        assert frozenset(history.check(0)) in kept


def settle(check):
    """A check that must come true within the limit; the last failure is shown."""
    deadline = time.monotonic() + SETTLE_LIMIT
    while True:
        try:
            return check()
        except ledger.LOST:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
