"""SQLAlchemy's own suite of tests for dialects, in the folder sqlalchemy_suite, over PyMySQL."""

import os
import pathlib
import subprocess
import sys
import xml.etree.ElementTree

import pytest

HERE = pathlib.Path(__file__).parent / "sqlalchemy_suite"
PASSED = 1_200

# Tests that fail, by how their names begin, and why.
FAILURES = {
    "a FLOAT is shown with six digits, as MySQL and MariaDB show it": ["NumericTest.test_float_custom_scale"],
}


@pytest.fixture
def outcomes(pando, tmp_path):
    with pando.connect(autocommit=True) as connection:
        for name in ("test", "test_schema", "test_schema_2"):
            # In one partition tables may have any unique key.
            connection.cursor().execute(f"CREATE DATABASE {name} PARTITIONS 1")
    host, port = pando.address
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "--junit-xml", str(report), "suite.py"]
    command += ["--dburi", f"mysql+pymysql://root@{host}:{port}/test"]
    environment = {**os.environ, "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=550)
    assert report.exists(), done.stdout + done.stderr
    found = {"passed": [], "failure": [], "error": [], "skipped": []}
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        # BinaryTest_mysql+pymysql_8_0_40_0_1_0
        name = f"{case.get('classname').split('.')[-1].split('_mysql')[0]}.{case.get('name')}"
        kind = next((child.tag for child in case if child.tag in found), "passed")
        found[kind].append(name)
    return found


def test_suite(outcomes):
    failed = outcomes["failure"] + outcomes["error"]
    known = [start for group in FAILURES.values() for start in group]
    print({kind: len(names) for kind, names in outcomes.items()})
    assert [name for name in failed if not name.startswith(tuple(known))] == []
    assert [start for start in known if not any(name.startswith(start) for name in failed)] == []
    assert len(outcomes["passed"]) >= PASSED
