"""mysql2, the driver of Node.js."""

import json
import os
import pathlib
import shutil
import subprocess

HERE = pathlib.Path(__file__).parent


def working_day(driver, server, database):
    """What the day of a driver of Node.js finds."""
    node = shutil.which("node")
    modules = pathlib.Path(os.environ.get("PANDO_NODE_MODULES", HERE / "mysql2" / "node_modules"))
    assert node and (modules / driver).exists(), f"Node.js or {driver} is missing; run make setup"
    command = [node, str(HERE / driver / "day.js"), str(server.address[1]), database, str(server.ca)]
    command += ["tls"] if server.tls else []
    environment = {**os.environ, "NODE_PATH": str(modules)}
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_a_working_day(server, database):
    found = working_day("mysql2", server, database)
    assert found.pop("cipher").startswith("TLS_")
    assert found == {
        "inserted": 2,
        "prepared": [{"name": "bolt", "price": "0.25"}],
        "again": [{"name": "nut", "price": None}],
        "duplicate": 1062,
        "count": 2,
        "afterChange": True,
        "compressed": [300000, 2],
        "pool": sum(range(1, 41)),
    }
