"""Pando as processes of one machine. The modules of benches/tpch must be found."""

import re
import subprocess

import pando_side
import process


class Cluster:
    """`pando dev --processes` with one aggregator."""

    def __init__(self, folder, leaves, settings):
        self.folder = folder
        command = [pando_side.binary(), "dev", "--processes", "--data", folder, "--mysql-port", 0, "--http-port", 0]
        command += ["--leaves", leaves, "--aggregators", 1, "--partitions", settings.partitions]
        command += ["--memory", settings.memory]
        self.process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
        self.pids = {}
        for line in self.process.stdout:
            # leaf-1: pid 4711, rpc 127.0.0.1:7307, http 127.0.0.1:8307
            if found := re.match(r"(\w+)-\d+: pid (\d+)", line):
                self.pids.setdefault(found[1], []).append(int(found[2]))
            if line.startswith("ready: mysql "):
                self.port = int(line.split()[2].rstrip(",").rsplit(":", 1)[1])
                assert len(self.pids["leaf"]) == leaves and len(self.pids["aggregator"]) == 1, self.pids
                return
        raise SystemExit(f"the cluster did not start: exit code {self.process.wait()}")

    connect = pando_side.Server.connect
    settled_bytes = pando_side.Server.settled_bytes
    stop = pando_side.Server.stop

    def cpu(self):
        """CPU seconds of the processes of each role."""
        return {role: sum(map(process.cpu_seconds, pids)) for role, pids in self.pids.items()}

    def cpu_seconds(self):
        return sum(self.cpu().values())
