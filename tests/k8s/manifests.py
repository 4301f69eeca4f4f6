"""Reads the manifests of k8s/ as `kubectl apply -k` does, and says which pods they make.

Of kustomize only what they use: `resources`, and `secretGenerator` with `files`. Another field fails.
"""

import base64
import dataclasses
import pathlib
import re

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
BASE = ROOT / "k8s" / "base"
TLS = ROOT / "k8s" / "tls"
NAMESPACE = "default"


def render(folder):
    """All objects of a kustomization, in the order of its files."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    unknown = set(kustomization) - {"apiVersion", "kind", "resources", "secretGenerator"}
    assert not unknown, f"{folder.name}/kustomization.yaml: {unknown}"
    objects = []
    for name in kustomization["resources"]:
        path = (folder / name).resolve()
        if path.is_dir():
            objects += render(path)
        else:
            objects += [document for document in yaml.safe_load_all(path.read_text()) if document]
    return objects + [secret(folder, generator) for generator in kustomization.get("secretGenerator", [])]


def secret(folder, generator):
    options = generator["options"]
    assert options["disableNameSuffixHash"] is True
    assert set(generator) == {"name", "files", "options"}, generator
    paths = [folder / file for file in generator["files"]]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": generator["name"], "labels": options["labels"]},
        "data": {path.name: base64.b64encode(path.read_bytes()).decode() for path in paths},
    }


def of_kind(objects, *kinds):
    return [thing for thing in objects if thing["kind"] in kinds]


def named(objects, kind, name):
    found = [thing for thing in of_kind(objects, kind) if thing["metadata"]["name"] == name]
    assert len(found) <= 1, f"{kind} {name} is there {len(found)} times"
    return found[0] if found else None


def matches(selector, labels):
    assert selector, "an empty selector takes everything"
    return all(labels.get(key) == value for key, value in selector.items())


@dataclasses.dataclass
class Pod:
    """What a node is told to run: one container, as all of ours have."""

    name: str
    service: str
    labels: dict
    spec: dict
    image: str
    arguments: list
    environment: dict
    ports: dict
    # Mount path to the files in it, or to the name of a claim, or to None: an empty folder.
    mounts: dict

    @property
    def container(self):
        return self.spec["containers"][0]

    @property
    def program(self):
        return self.image.split(":")[0].rsplit("/", 1)[-1]

    @property
    def names(self):
        """The names that DNS and /etc/hosts know it by within its namespace."""
        short = f"{self.name}.{self.service}"
        return [short, f"{short}.{NAMESPACE}", f"{short}.{NAMESPACE}.svc", f"{short}.{NAMESPACE}.svc.cluster.local", self.name]


def pods(objects):
    return [pod(objects, one, ordinal) for one in of_kind(objects, "StatefulSet") for ordinal in range(one["spec"]["replicas"])]


def pod(objects, stateful_set, ordinal):
    template = stateful_set["spec"]["template"]
    spec = template["spec"]
    (container,) = spec["containers"]
    name = f"{stateful_set['metadata']['name']}-{ordinal}"
    environment = variables(objects, container, name)
    claims = [claim["metadata"]["name"] for claim in stateful_set["spec"].get("volumeClaimTemplates", [])]
    return Pod(
        name=name,
        service=stateful_set["spec"]["serviceName"],
        labels=template["metadata"]["labels"],
        spec=spec,
        image=container["image"],
        arguments=[expand(argument, environment) for argument in container["args"]],
        environment=environment,
        ports={port["name"]: port["containerPort"] for port in container["ports"]},
        mounts={mount["mountPath"]: volume(objects, spec, claims, mount, name) for mount in container["volumeMounts"]},
    )


def variables(objects, container, name):
    """The environment: `envFrom`, then `env`, which may override it and may use what came before."""
    found = {}
    for source in container.get("envFrom", []):
        (reference,) = source.values()
        config = named(objects, "ConfigMap", reference["name"])
        assert config or reference.get("optional"), reference
        found.update(config["data"] if config else {})
    fields = {"metadata.name": name, "metadata.namespace": NAMESPACE}
    for variable in container.get("env", []):
        if "value" in variable:
            found[variable["name"]] = expand(variable["value"], found)
        else:
            found[variable["name"]] = fields[variable["valueFrom"]["fieldRef"]["fieldPath"]]
    return found


def expand(text, environment):
    """$(NAME) as Kubernetes does it. A name that is not there would stay as it is: an error here."""

    def value(found):
        if found.group(0) == "$$":
            return "$"
        assert found.group(1) in environment, f"{text}: no such variable"
        return environment[found.group(1)]

    return re.sub(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)", value, text)


def volume(objects, spec, claims, mount, pod_name):
    name = mount["name"]
    if name in claims:
        return f"{name}-{pod_name}"
    (source,) = [volume for volume in spec.get("volumes", []) if volume["name"] == name]
    if "configMap" in source:
        config = named(objects, "ConfigMap", source["configMap"]["name"])
        assert config, f"{pod_name}: no ConfigMap {source['configMap']['name']}"
        return {file: text.encode() for file, text in config["data"].items()}
    if "secret" in source:
        found = named(objects, "Secret", source["secret"]["secretName"])
        assert found or source["secret"].get("optional"), f"{pod_name}: no Secret {source['secret']['secretName']}"
        return {file: base64.b64decode(data) for file, data in found["data"].items()} if found else {}
    assert "emptyDir" in source, source
    return None
