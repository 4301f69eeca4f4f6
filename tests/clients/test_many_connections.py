"""Many idle connections, and clients that mean no good: what they cost, and that others do not notice."""

import contextlib
import resource
import socket
import struct

import pymysql
import pytest

EACH = 64 << 10
MANY = 10_000
QUERY = "SELECT COUNT(*), REPEAT('x', 10000) FROM shop.t GROUP BY id"


@pytest.fixture
def files():
    """As many open files as the system lets this process have, beginning with few for what it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < MANY + 1_000:
        pytest.fail(f"the system lets a process open {hard} files, and {MANY} connections need more")
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def opened(stack, server, count, **options):
    """Connections without TLS, of which each would cost the client a megabyte."""
    return [
        stack.enter_context(contextlib.closing(server.connect(ssl_disabled=True, autocommit=True, **options))) for _ in range(count)
    ]


def test_idle_connections_are_small_and_may_be_many(files, pando):
    """The server starts with 1,024 open files, as a shell gives them, and sees to more itself."""
    files()
    with contextlib.ExitStack() as stack:
        first = opened(stack, pando, 20)
        with first[0].cursor() as cursor:
            cursor.execute("CREATE DATABASE shop")
            cursor.execute("CREATE TABLE shop.t (id INT PRIMARY KEY, v INT)")
            cursor.execute("INSERT INTO shop.t VALUES (1, 10)")
        # What the process itself keeps of statements is not to be counted.
        for _ in range(200):
            with first[1].cursor() as cursor:
                cursor.execute(QUERY)
                cursor.fetchall()
        before = pando.resident_bytes()
        thousand = opened(stack, pando, 1_000, database="shop")
        fresh = (pando.resident_bytes() - before) / len(thousand)
        assert fresh < EACH, fresh
        # What has worked keeps no more than it needs when it is idle again.
        for connection in thousand:
            with connection.cursor() as cursor:
                cursor.execute("SELECT v FROM t WHERE id = 1")
                assert cursor.fetchall() == ((10,),)
                cursor.execute(QUERY)
                cursor.fetchall()
        worked = (pando.resident_bytes() - before) / len(thousand)
        assert worked < EACH, worked
        # One is kept for whoever looks after the server.
        rest = opened(stack, pando, MANY - 1 - len(first) - len(thousand))
        each = (pando.resident_bytes() - before) / (len(thousand) + len(rest))
        assert each < EACH, each
        print(f"bytes each: {fresh:.0f} fresh, {worked:.0f} after two queries, {each:.0f} of {MANY}")
        for connection in (first[0], thousand[500], rest[0], rest[-1]):
            connection.ping(reconnect=False)
        with first[0].cursor() as cursor:
            cursor.execute("SHOW STATUS LIKE 'Threads_connected'")
            assert int(cursor.fetchone()[1]) == MANY - 1


def packet(number, payload, length=None):
    return struct.pack("<I", len(payload) if length is None else length)[:3] + bytes([number]) + payload


def raw(server):
    """A socket on which the server has sent its greeting."""
    connection = socket.create_connection(server.address, timeout=20)
    assert connection.recv(4096)
    return connection


def logged_in(server):
    """The socket of a connection that PyMySQL has logged in."""
    connection = server.connect(ssl_disabled=True)
    return connection, connection._sock


def test_wrong_packets_harm_nobody_else(pando):
    """Garbage, packets that claim more than they may, and such that never end: before login and after."""
    with pando.connect(autocommit=True) as other, contextlib.ExitStack() as stack:
        cursor = other.cursor()
        cursor.execute("CREATE DATABASE shop")
        cursor.execute("CREATE TABLE shop.t (id INT PRIMARY KEY)")
        before = pando.resident_bytes()
        for number in range(60):
            early = stack.enter_context(raw(pando))
            late, late_socket = logged_in(pando)
            stack.callback(late._force_close)
            for stream in (early, late_socket):
                match number % 6:
                    case 0:
                        # Bytes of no protocol.
                        send(stream, bytes(range(256)) * 64)
                    case 1:
                        # The longest packet that there is, of which nothing follows.
                        send(stream, packet(0, b"\x03", 0xFFFFFF))
                    case 2:
                        # 256 packets of 16 MiB each would be 4 GiB; the first goes on for a while.
                        send(stream, packet(0, b"\x03" + b"x" * 200_000, 0xFFFFFF))
                    case 3:
                        # Out of order.
                        send(stream, packet(9, b"\x03SELECT 1"))
                    case 4:
                        # Lengths inside of the packet that reach beyond it.
                        send(stream, packet(1, b"\x17\xff\xff\xff\xff\x00\xff\xff\xff\xff\xfe\xff\xff\xff"))
                    case 5:
                        # Half a header.
                        send(stream, b"\x05")
            cursor.execute("INSERT INTO shop.t VALUES (%s)", (number,))
        cursor.execute("SELECT COUNT(*) FROM shop.t")
        assert cursor.fetchone() == (60,)
        # What they claimed, 40 packets of 16 MiB, is not kept for them, only what they sent.
        assert pando.resident_bytes() - before < 128 << 20
    assert "panicked" not in pando.log.read_text()


def test_a_statement_of_four_gigabytes_is_refused_before_it_has_come(pando):
    connection, stream = logged_in(pando)
    with contextlib.closing(connection):
        before = pando.resident_bytes()
        piece = packet(0, b"\x03" + b"x" * (0xFFFFFF - 1))
        # For a while the server throws away what comes, so that the client gets to read the error.
        with contextlib.suppress(ConnectionError):
            for number in range(256):
                stream.sendall(piece[:3] + bytes([number]) + piece[4:])
        assert pando.resident_bytes() - before < 256 << 20
        with pytest.raises((pymysql.err.OperationalError, pymysql.err.InternalError, ConnectionError, OSError)):
            connection.ping(reconnect=False)
    with pando.connect() as other:
        other.ping(reconnect=False)


def send(stream, data):
    """The server may have closed the connection already."""
    with contextlib.suppress(ConnectionError):
        stream.sendall(data)
