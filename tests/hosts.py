"""Hosts of the tests' own, on this machine: network namespaces, joined by a bridge in one more.

Nothing of the machine's own network is touched, and nothing of it is reached from there. A host has one
address and names the others by /etc/hosts (`ip netns exec` lays /etc/netns/NAME over /etc). A cut between
two hosts loses their packets in silence, both ways, as a cut cable would: each takes a wrong hardware
address for the other.
"""

import contextlib
import ctypes
import functools
import http.client
import itertools
import os
import pathlib
import shutil
import socket
import subprocess

NUMBERS = itertools.count(1)
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
NOWHERE = "02:00:00:00:00:99"


@functools.cache
def why_not():
    """Why no hosts can be made here; None where they can."""
    if shutil.which("ip") is None:
        return "no `ip` here (Debian: iproute2)"
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        network = Network()
    except subprocess.CalledProcessError as error:
        return f"network namespaces cannot be made here: {error.stderr.strip()}"
    network.close()
    return None


def ip(*words):
    command = ["ip", *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Network:
    """A bridge and its hosts."""

    def __init__(self):
        self.name = f"pando-{os.getpid()}-{next(NUMBERS)}"
        self.hosts = []
        ip("netns", "add", self.name)
        try:
            ip("-n", self.name, "link", "add", "bridge", "type", "bridge")
            ip("-n", self.name, "link", "set", "bridge", "up")
        except BaseException:
            self.close()
            raise

    def add(self, name):
        host = Host(self, name, len(self.hosts) + 1)
        self.hosts.append(host)
        return host

    def name_hosts(self, names):
        """Lets every host know the others: `names` maps a host to the names that it goes by."""
        lines = ["127.0.0.1 localhost"]
        lines += [f"{host.address} {' '.join(known)}" for host, known in names.items()]
        for host in self.hosts:
            host.etc.mkdir(parents=True, exist_ok=True)
            (host.etc / "hosts").write_text("\n".join(lines) + "\n")

    def cut(self, one, other):
        for here, there in ((one, other), (other, one)):
            ip("-n", here.namespace, "neigh", "replace", there.address, "lladdr", NOWHERE, "dev", "eth0", "nud", "permanent")

    def mend(self, one, other):
        for here, there in ((one, other), (other, one)):
            ip("-n", here.namespace, "neigh", "del", there.address, "dev", "eth0")

    def close(self):
        for host in self.hosts:
            host.close()
        self.hosts.clear()
        ip("netns", "del", self.name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Host:
    def __init__(self, network, name, number):
        self.name = name
        self.namespace = f"{network.name}-{number}"
        self.address = f"10.77.{number >> 8}.{number & 255}"
        self.etc = pathlib.Path("/etc/netns") / self.namespace
        ip("netns", "add", self.namespace)
        try:
            plug = f"p{number}"
            ip("-n", network.name, "link", "add", plug, "type", "veth", "peer", "name", "eth0", "netns", self.namespace)
            ip("-n", network.name, "link", "set", plug, "master", "bridge", "up")
            ip("-n", self.namespace, "link", "set", "lo", "up")
            ip("-n", self.namespace, "address", "add", f"{self.address}/16", "dev", "eth0")
            ip("-n", self.namespace, "link", "set", "eth0", "up")
        except BaseException:
            self.close()
            raise

    @property
    def prefix(self):
        """Before a command: runs it on this host. The process keeps its id."""
        return ["ip", "netns", "exec", self.namespace]

    @contextlib.contextmanager
    def here(self):
        """Sockets that this thread makes within the block are this host's, and stay so."""
        with open("/proc/thread-self/ns/net") as before, open(f"/run/netns/{self.namespace}") as after:
            enter(after)
            try:
                yield
            finally:
                enter(before)

    def connect(self, address, timeout):
        with self.here():
            return socket.create_connection(address, timeout)

    def get(self, port, path, timeout):
        """Status and body of an HTTP page of this host, asked for from the host itself."""
        connection = http.client.HTTPConnection(self.address, port, timeout=timeout)
        connection.sock = self.connect((self.address, port), timeout)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def close(self):
        shutil.rmtree(self.etc, ignore_errors=True)
        ip("netns", "del", self.namespace)


def enter(namespace):
    if LIBC.setns(namespace.fileno(), CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
