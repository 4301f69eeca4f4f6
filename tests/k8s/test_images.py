"""What the Dockerfiles say."""

import fnmatch
import json
import pathlib
import re
import subprocess
import tomllib

import images
import pytest
from manifests import BASE, pods, render


@pytest.fixture(params=images.PROGRAMS)
def program(request):
    return request.param


def test_every_image_that_the_manifests_name_is_there():
    assert {pod.program for pod in pods(render(BASE))} == set(images.PROGRAMS)


def test_stages(program):
    build, last = images.stages(program)
    toolchain = tomllib.loads((images.ROOT / "Cargo.toml").read_text())["workspace"]["package"]["rust-version"]
    # An image of many platforms: rust and Debian are there for amd64 and arm64 alike.
    assert build.image == f"rust:{toolchain}-bookworm" and build.name == "build"
    assert last.image == "scratch"
    assert last.all("RUN") == [], "nothing could run there"
    assert last.all("COPY") == ["--from=build /rootfs /"]
    command = build.all("RUN")[-1]
    # All images choose features alike, so that they share what is built.
    assert f"cargo build --locked --workspace --bin {program} " in command
    assert f"docker/rootfs /target/debug/{program} /rootfs" in command
    # arm64 and amd64 builds side by side must not share a target folder.
    assert "$TARGETARCH" in command
    assert "x86-64" not in command, "the processor is chosen in .cargo/config.toml"
    assert json.loads(last.only("ENTRYPOINT")) == [f"/usr/local/bin/{program}"]
    assert last.only("STOPSIGNAL") == "SIGTERM"


def test_build_stages_are_shared():
    """Up to the last step, which names the program."""
    heads = {(stage.image, *stage.steps[:-1]) for stage in (images.stages(program)[0] for program in images.PROGRAMS)}
    assert len(heads) == 1


def test_build_installs_what_setup_does():
    setup = (images.ROOT / "scripts" / "setup").read_text()
    known = set(re.search(r"packages=\(\n(.*?)\n\)", setup, re.S).group(1).split())
    installed = re.findall(r"--no-install-recommends (.*?)(?:&&|$)", images.stages(images.PROGRAMS[0])[0].all("RUN")[0])
    assert set(installed[0].split()) <= known
    assert {"clang", "libclang-dev", "librocksdb-dev", "mold", "protobuf-compiler"} <= set(installed[0].split())


def test_the_manifests_agree(program):
    last = images.stages(program)[-1]
    exposed = {int(port) for port in last.only("EXPOSE").split()}
    for pod in pods(render(BASE)):
        if pod.program == program:
            assert set(pod.ports.values()) == exposed
            security = pod.spec["securityContext"]
            assert last.only("USER") == f"{security['runAsUser']}:{security['runAsGroup']}"
            assert last.only("WORKDIR") in pod.mounts


def test_the_context_has_all_that_cargo_reads():
    """.dockerignore leaves no package of the workspace out, and the heavy folders not in."""
    patterns = [line for line in (images.ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert not any(pattern.startswith("!") for pattern in patterns)

    def ignored(path):
        parts = pathlib.PurePath(path).parts
        heads = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
        return any(fnmatch.fnmatchcase(head, pattern) and head.count("/") == pattern.count("/") for head in heads for pattern in patterns)

    assert ignored(".git/config") and ignored("target/debug/pando") and ignored("tests/chaos/test_kill.py")
    tracked = subprocess.run(["git", "ls-files"], cwd=images.ROOT, capture_output=True, text=True, check=True).stdout
    needed = [path for path in tracked.splitlines() if path.endswith((".rs", ".toml", ".lock", ".proto", ".sql"))]
    assert len(needed) > 100
    assert [path for path in needed if ignored(path) and not path.startswith("tests/slt")] == []
    assert not ignored("docker/rootfs") and not ignored("benches/tpch/answers/sf1.txt")
