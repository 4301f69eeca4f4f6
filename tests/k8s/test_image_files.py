"""A program starts from nothing but the files of its image."""

import os
import shutil
import stat
import subprocess
import tomllib

import images
import pytest
from pando_cluster import needs_programs

pytestmark = needs_programs


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory):
    return tmp_path_factory.mktemp("images")


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")
@pytest.mark.parametrize("program", images.PROGRAMS)
def test_it_starts_from_its_own_files(program, rootfs):
    image = images.build(program, rootfs)
    files = [path for path in image.root.rglob("*") if path.is_file() and not path.is_symlink()]
    # Nothing but the program, the loader, libraries, and three small files.
    kinds = [path for path in files if ".so" not in path.name and path.parent != image.root / "etc"]
    assert kinds == [image.root / image.entrypoint[0].lstrip("/")]
    assert not any(path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID) for path in files)
    command = [shutil.which("chroot"), f"--userspec={image.user}:{image.group}", image.root, *image.entrypoint]
    version = tomllib.loads((images.ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    result = subprocess.run([*command, "--version"], env=image.environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[-1] == version
    # What it cannot take it says in one line, here too.
    result = subprocess.run([*command, "--no-such-option"], env=image.environment, capture_output=True, text=True)
    assert result.returncode == 2 and len(result.stderr.strip().splitlines()) == 1
    size = sum(path.stat().st_size for path in files)
    print(f"{program}: {size >> 20} MiB")
