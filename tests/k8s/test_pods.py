"""The cluster of the manifests, run: every pod a host of its own with the names that its services give,
the files of its image, and the arguments, environment and configuration of the manifests, unchanged."""

import contextlib
import shutil
import subprocess
import time

import hosts
import images
import pymysql
import pytest
from kubelet import Container
from manifests import BASE, TLS, matches, named, pods, render
from pando_cluster import needs_programs

pytestmark = [needs_programs, pytest.mark.skipif(hosts.why_not() is not None, reason=str(hosts.why_not()))]

START_LIMIT = 30
PASSWORD = "of the test"
ROWS = 500


class Cluster:
    def __init__(self, objects, folder, network):
        self.objects = objects
        self.client = network.add("client")
        volumes = folder / "volumes"
        volumes.mkdir()
        found = pods(objects)
        built = {program: images.build(program, folder / "images") for program in {pod.program for pod in found}}
        self.containers = {
            pod.name: Container(pod, built[pod.program], network.add(pod.name), volumes) for pod in found
        }
        network.name_hosts({container.host: container.pod.names for container in self.containers.values()})

    def start(self, *names):
        """All at once, as Kubernetes does; then each probe in the order that a kubelet tries them."""
        started = [self.containers[name] for name in names or self.containers]
        deadline = time.monotonic() + START_LIMIT
        for container in started:
            container.start()
        for container in started:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                container.wait_for(probe, deadline)

    def close(self):
        for container in self.containers.values():
            container.kill()

    def endpoints(self, service):
        selector = named(self.objects, "Service", service)["spec"]["selector"]
        return [one for one in self.containers.values() if matches(selector, one.pod.labels)]

    @contextlib.contextmanager
    def connect(self, container, source=None, **options):
        """A client on a host of its own, or on the pod's, which is what `kubectl port-forward` is."""
        host = "127.0.0.1" if source is container.host else container.host.address
        settings = {"user": "root", "autocommit": True, "defer_connect": True, "read_timeout": 30, **options}
        connection = pymysql.connect(host=host, **settings)
        connection.connect((source or self.client).connect((host, container.pod.ports["mysql"]), 10))
        try:
            yield connection
        finally:
            connection.close()

    def query(self, container, sql, **options):
        with self.connect(container, **options) as connection:
            cursor = connection.cursor()
            cursor.execute(sql)
            return cursor.fetchall()


@pytest.fixture(params=["base", "tls"])
def cluster(request, tmp_path):
    if request.param == "base":
        objects = render(BASE)
    else:
        shutil.copytree(BASE, tmp_path / "base")
        shutil.copytree(TLS, tmp_path / "tls", ignore=shutil.ignore_patterns("certificates"))
        subprocess.run([tmp_path / "tls" / "make-certificates"], check=True)
        objects = render(tmp_path / "tls")
    with hosts.Network() as network:
        cluster = Cluster(objects, tmp_path, network)
        cluster.tls = request.param == "tls"
        try:
            yield cluster
        finally:
            cluster.close()


def test_cluster(cluster):
    cluster.start()
    first, second = cluster.endpoints("pando")
    leaves = cluster.endpoints("pando-leaves")
    masters = cluster.endpoints("pando-masters")

    # Without a password only from the pod itself.
    with pytest.raises(pymysql.err.OperationalError):
        cluster.query(first, "SELECT 1")
    cluster.query(first, f"CREATE USER 'root'@'%' IDENTIFIED BY '{PASSWORD}'", source=first.host)
    login = {"password": PASSWORD}
    if cluster.tls:
        folder = cluster.containers[first.pod.name]
        login["ssl"] = {"ca": authority(folder), "check_hostname": False}
        with cluster.connect(first, **login) as connection:
            cursor = connection.cursor()
            cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
            assert cursor.fetchone()[1], "the client asked for TLS and does not have it"

    # What one aggregator writes, the other reads, by its next statement.
    cluster.query(first, "CREATE DATABASE shop", **login)
    cluster.query(second, "CREATE TABLE shop.t (id INT NOT NULL, v INT NOT NULL, PRIMARY KEY (id), SHARD KEY (id))", **login)
    values = ", ".join(f"({number}, {number % 7})" for number in range(ROWS))
    cluster.query(first, f"INSERT INTO shop.t VALUES {values}", **login)
    total = ((ROWS, sum(number % 7 for number in range(ROWS))),)
    assert cluster.query(second, "SELECT COUNT(*), SUM(v) FROM shop.t", **login) == total

    # The pods are known by their stable names, and the data lies on all leaves.
    shown = cluster.query(second, "SHOW LEAVES", **login)
    assert sorted(row[0] for row in shown) == [leaf.pod.names[0] for leaf in leaves]
    shown = cluster.query(first, "SHOW AGGREGATORS", **login)
    assert sorted(row[0] for row in shown) == sorted(one.pod.names[0] for one in (first, second, *masters))
    placed = cluster.query(first, "SHOW PARTITIONS ON shop", **login)
    assert {row[1] for row in placed} == {leaf.pod.names[0] for leaf in leaves}
    for container in cluster.containers.values():
        status, text = container.get("/metrics")
        assert status == 200 and "# TYPE pando_" in text

    # A pod that is deleted stops in its time and comes back with its volume and its name.
    for container in (leaves[0], masters[0], first):
        code, seconds = container.stop()
        assert code == 0, f"{container.pod.name}:\n{container.log.read_text()}"
        print(f"{container.pod.name} stopped in {seconds:.1f} s")
        cluster.start(container.pod.name)
    assert cluster.query(first, "SELECT COUNT(*), SUM(v) FROM shop.t", **login) == total
    cluster.query(first, "UPDATE shop.t SET v = v + 1", **login)
    assert cluster.query(second, "SELECT SUM(v) FROM shop.t", **login) == ((total[0][1] + ROWS,),)
    assert len(cluster.query(first, "SHOW LEAVES", **login)) == len(leaves)

    # The whole namespace is deleted and applied again.
    for container in cluster.containers.values():
        code, _ = container.stop()
        assert code == 0, f"{container.pod.name}:\n{container.log.read_text()}"
    cluster.start()
    assert cluster.query(second, "SELECT SUM(v) FROM shop.t", **login) == ((total[0][1] + ROWS,),)


def authority(container):
    """The file of the authority that the container was given."""
    mounts = dict(zip(container.mounts[1::2], container.mounts[::2], strict=True))
    return mounts["/etc/pando-certificates"].removeprefix("ro:") + "/node-ca.crt"
