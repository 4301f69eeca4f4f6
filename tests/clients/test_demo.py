"""The demo, small: all 22 answers must be right."""

import subprocess

from pando_process import binary


def test_demo_at_a_hundredth(tmp_path):
    command = [binary(), "demo", "--scale", "0.01", "--exit", "--data", tmp_path / "data"]
    command += ["--mysql-port", "0", "--http-port", "0", "--partitions", "3", "--memory", "1GiB"]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "22 of 22 answers right" in result.stdout
    assert "mysql -h 127.0.0.1 -P " in result.stdout
