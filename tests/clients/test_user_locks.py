"""GET_LOCK() and its kin: a lock excludes the sessions of all aggregators, and goes with its session."""

import contextlib
import itertools
import signal
import time

import mysql.connector
import pymysql
import pytest
from pando_cluster import Cluster, needs_programs
from test_kill_statement import LIMIT, Statement, lines, until

NUMBERS = itertools.count(1)
# Of an aggregator that is gone: what catalog::LOST_AGGREGATOR_LIMIT says, and what it takes to see a stopped one.
LOST = 25


@pytest.fixture
def name():
    """Of a lock that no other test takes."""
    return f"lock {next(NUMBERS)}"


def value(connection, call, *args):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {call}", args)
        return cursor.fetchone()[0]


@contextlib.contextmanager
def sessions(*servers):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(server.connect(autocommit=True)) for server in servers]


def take(connection, name, timeout=0):
    return value(connection, "GET_LOCK(%s, %s)", name, timeout)


def test_a_lock_has_one_holder_in_the_whole_cluster(server, name):
    with sessions(server, server.elsewhere) as (here, there):
        assert take(here, name) == 1
        assert take(there, name) == 0
        assert take(there, name.upper()) == 0
        assert value(there, "IS_FREE_LOCK(%s)", name) == 0
        assert value(there, "IS_USED_LOCK(%s)", name) == here.thread_id()
        assert value(there, "RELEASE_LOCK(%s)", name) == 0
        # As often released as taken.
        assert take(here, name, -1) == 1
        assert value(here, "RELEASE_LOCK(%s)", name) == 1
        assert take(there, name) == 0
        assert value(here, "RELEASE_LOCK(%s)", name) == 1
        assert take(there, name) == 1
        assert value(here, "IS_FREE_LOCK(%s)", name) == 0
        assert value(there, "RELEASE_ALL_LOCKS()") == 1
        assert value(here, "IS_FREE_LOCK(%s)", name) == 1
        assert value(here, "RELEASE_LOCK(%s)", name) is None


def test_who_waits_is_woken(server, name):
    with sessions(server) as (holder,):
        assert take(holder, name) == 1
        waiters = [Statement(each, None, f"SELECT GET_LOCK('{name}', 60)") for each in (server.elsewhere, server)]
        with sessions(server) as (watcher,):
            until("it waits", lambda: lines(watcher.cursor())[waiters[1].id][6] == "User lock")
        began = time.monotonic()
        assert value(holder, "RELEASE_LOCK(%s)", name) == 1
        until("one of them has it", lambda: sum(not waiter.is_alive() for waiter in waiters) == 1)
        first, second = sorted(waiters, key=Statement.is_alive)
        assert first.end() is None and first.cursor.fetchall() == ((1,),)
        first.connection.close()
        assert second.end() is None and second.cursor.fetchall() == ((1,),)
        assert time.monotonic() - began < 5
        second.connection.close()


def test_a_released_lock_goes_through_many_that_wait(server, name):
    with sessions(server) as (holder,):
        assert take(holder, name) == 1
        waiters = [
            Statement(each, None, f"SELECT GET_LOCK('{name}', 60), RELEASE_LOCK('{name}')")
            for each in [server, server.elsewhere] * 20
        ]
        with sessions(server) as (watcher,):
            until("they wait", lambda: lines(watcher.cursor())[waiters[-2].id][6] == "User lock")
        assert value(holder, "RELEASE_LOCK(%s)", name) == 1
        for waiter in waiters:
            assert waiter.end() is None and waiter.cursor.fetchall() == ((1, 1),)
            waiter.connection.close()


def test_a_wait_ends_with_its_time(server, name):
    with sessions(server, server.elsewhere) as (holder, other):
        assert take(holder, name) == 1
        began = time.monotonic()
        assert take(other, name, 1) == 0
        assert 1 <= time.monotonic() - began < LIMIT
        other.cursor().execute("SET max_execution_time = 200")
        with pytest.raises(pymysql.err.MySQLError) as caught:
            take(other, name, 60)
        assert caught.value.args[0] == 3024


def test_who_waits_can_be_killed_and_has_nothing(server, name):
    with sessions(server, server) as (holder, killer):
        assert take(holder, name) == 1
        waiter = Statement(server, None, f"DO GET_LOCK('{name}', -1)")
        until("it waits", lambda: lines(killer.cursor())[waiter.id][6] == "User lock")
        killer.cursor().execute(f"KILL QUERY {waiter.id}")
        assert waiter.end() == 1317
        gone = Statement(server, None, f"DO GET_LOCK('{name}', -1)")
        until("it waits", lambda: lines(killer.cursor())[gone.id][6] == "User lock")
        # Not close(), which would wait for the answer.
        gone.connection._sock.shutdown(2)
        until("it is gone", lambda: gone.id not in lines(killer.cursor()))
        assert value(holder, "RELEASE_LOCK(%s)", name) == 1
        assert value(killer, "IS_FREE_LOCK(%s)", name) == 1
        assert value(waiter.connection, "1") == 1
        waiter.connection.close()


def test_locks_go_with_their_session(server, database, name):
    def reset(connection):
        connection._execute_command(0x1F, b"")
        connection._read_ok_packet()

    def kill(connection):
        with sessions(server) as (killer,):
            killer.cursor().execute(f"KILL {connection.thread_id()}")

    with sessions(server.elsewhere) as (watcher,):
        for end in (pymysql.Connection.close, pymysql.Connection._force_close, reset, kill):
            connection = server.connect(database, autocommit=True)
            assert (take(connection, name), take(connection, name), take(connection, f"{name} b")) == (1, 1, 1)
            end(connection)
            assert take(watcher, name, LIMIT) == 1, end
            assert value(watcher, "RELEASE_LOCK(%s)", name) == 1
            until("the other one too", lambda: value(watcher, "IS_FREE_LOCK(%s)", f"{name} b") == 1)

        host, port = server.address
        tls = {"ssl_ca": str(server.ca), "ssl_verify_cert": True} if server.tls else {"ssl_disabled": True}
        connection = mysql.connector.connect(host=host, port=port, user="root", use_pure=True, **tls)
        cursor = connection.cursor()
        cursor.execute("SELECT GET_LOCK(%s, 0)", (name,))
        assert cursor.fetchall() == [(1,)]
        connection.cmd_change_user(username="root", password="", database=database)
        assert take(watcher, name, LIMIT) == 1
        connection.close()


def test_transactions_do_not_matter(server, database, name):
    with sessions(server, server.elsewhere) as (here, there):
        here.cursor().execute("BEGIN")
        assert take(here, name) == 1
        here.rollback()
        here.commit()
        assert take(there, name) == 0


def test_who_would_wait_for_itself_is_told(server, name):
    with sessions(server, server.elsewhere) as (here, there):
        assert take(there, f"{name} b") == 1
        waiter = Statement(server, None, f"SELECT GET_LOCK('{name} b', 60)", before=[f"DO GET_LOCK('{name}', 0)"])
        until("it waits", lambda: lines(here.cursor())[waiter.id][6] == "User lock")
        with pytest.raises(pymysql.err.MySQLError) as caught:
            # The first tries may be before the other session is known to wait.
            for _ in range(LIMIT):
                take(there, name, 1)
        assert caught.value.args[0] == 3058
        assert value(there, "RELEASE_ALL_LOCKS()") == 1
        assert waiter.end() is None and waiter.cursor.fetchall() == ((1,),)
        waiter.connection.close()


def test_prepared_statements_take_locks(server, database, name):
    host, port = server.address
    tls = {"ssl_ca": str(server.ca), "ssl_verify_cert": True} if server.tls else {"ssl_disabled": True}
    connection = mysql.connector.connect(host=host, port=port, user="root", database=database, use_pure=True, **tls)
    cursor = connection.cursor(prepared=True)
    for _ in range(3):
        cursor.execute("SELECT GET_LOCK(?, ?) AS got, ? AS it, CONNECTION_ID()", (name, 0, "x"))
        assert cursor.fetchall() == [(1, "x", connection.connection_id)]
        assert cursor.column_names[:2] == ("got", "it")
    cursor.execute("SELECT IS_USED_LOCK(?) = CONNECTION_ID()", (name,))
    assert cursor.fetchall() == [(1,)]
    cursor.execute("SELECT RELEASE_ALL_LOCKS()")
    assert cursor.fetchall() == [(3,)]
    connection.close()


def test_benchmark_ends_when_it_is_to(server, database):
    endless = "SELECT BENCHMARK(1000000000000, SHA2('a', 512))"
    with sessions(server) as (other,):
        statement = Statement(server, database, endless)
        until("it runs", lambda: lines(other.cursor())[statement.id][7] == endless)
        other.cursor().execute(f"KILL QUERY {statement.id}")
        assert statement.end() == 1317
        other.cursor().execute("SET max_execution_time = 100")
        with pytest.raises(pymysql.err.MySQLError) as caught:
            other.cursor().execute(endless)
        assert caught.value.args[0] == 3024


def test_a_restart_leaves_none(pando, name):
    with pando.connect() as connection:
        assert take(connection, name) == 1
        pando.kill()
    pando.start()
    with pando.connect() as connection:
        assert take(connection, name, 5) == 1


@needs_programs
def test_the_locks_of_an_aggregator_that_is_gone_are_free_in_time(tmp_path, name):
    with Cluster.running(tmp_path / "cluster", leaves=1, aggregators=3) as cluster:
        dead, stopped, again = cluster.aggregators
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(node.connect(autocommit=True)) for node in cluster.aggregators]
            watcher = stack.enter_context(cluster.master.connect(autocommit=True))
            for number, connection in enumerate(held):
                assert take(connection, f"{name} {number}") == 1
                assert take(watcher, f"{name} {number}") == 0
            began = time.monotonic()
            dead.kill()
            stopped.process.send_signal(signal.SIGSTOP)
            again.kill()
            cluster.start([again])
            assert take(watcher, f"{name} 2", LIMIT) == 1, "one that comes back releases them itself"
            for number in (0, 1):
                assert take(watcher, f"{name} {number}", LOST) == 1
            assert time.monotonic() - began < LOST
            stopped.process.send_signal(signal.SIGCONT)

            def is_ended():
                try:
                    return value(held[1], "2") != 2
                except pymysql.err.MySQLError:
                    return True

            until("who lost a lock does not go on", is_ended)
            with stopped.connect(autocommit=True) as fresh:
                assert take(fresh, f"{name} 1") == 0
                assert value(watcher, "RELEASE_ALL_LOCKS()") == 3
                assert take(fresh, f"{name} 1", LIMIT) == 1
