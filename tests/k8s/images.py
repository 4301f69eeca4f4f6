"""The images of docker/, as far as they can be had without a container engine: the Dockerfiles parsed,
and the file system of the last stage laid by the same script that the build stage runs."""

import dataclasses
import io
import json
import pathlib
import subprocess

from dockerfile_parse import DockerfileParser
from pando_process import binary

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docker"
PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.Dockerfile"))


@dataclasses.dataclass
class Stage:
    image: str
    name: str
    # (instruction, value), FROM left out.
    steps: list

    def only(self, instruction):
        (value,) = self.all(instruction)
        return value

    def all(self, instruction):
        return [value for found, value in self.steps if found == instruction]


def stages(program):
    parser = DockerfileParser(fileobj=io.BytesIO((FOLDER / f"{program}.Dockerfile").read_bytes()))
    found = []
    for step in parser.structure:
        instruction, value = step["instruction"], step["value"]
        if instruction == "FROM":
            image, _, name = value.partition(" AS ")
            found.append(Stage(image, name, []))
        elif instruction != "COMMENT":
            found[-1].steps.append((instruction, value))
    return found


@dataclasses.dataclass
class Image:
    """What a container runtime learns of an image, and its files."""

    entrypoint: list
    environment: dict
    user: int
    group: int
    root: pathlib.Path


def build(program, folder):
    """The image of a program that cargo has built."""
    last = stages(program)[-1]
    root = folder / program
    subprocess.run([FOLDER / "rootfs", binary(program), root], check=True)
    user, group = last.only("USER").split(":")
    environment = dict(pair.split("=", 1) for value in last.all("ENV") for pair in value.split())
    return Image(json.loads(last.only("ENTRYPOINT")), environment, int(user), int(group), root)
