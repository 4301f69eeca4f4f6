"""The manifests: what a schema can say of them, and what it cannot."""

import ipaddress
import re
import shutil
import subprocess
import tomllib

import kubernetes_validate
import pytest
import yaml
from manifests import BASE, ROOT, TLS, matches, named, of_kind, pods, render

# sleep as a preStop action is there from 1.30 on.
OLDEST = "1.30"

# What the programs take besides --config, by their image. A name is also one of the file.
NODE_OPTIONS = {
    "data", "bind", "advertise", "rpc-port", "http-port", "join", "memory", "drain-seconds",
    "node-cert", "node-key", "node-ca",
}  # fmt: skip
OPTIONS = {
    "pando-aggregator": NODE_OPTIONS
    | {"mysql-port", "master", "bootstrap", "bootstrap-host", "partitions", "tls-cert", "tls-key"},
    "pando-leaf": NODE_OPTIONS,
}
HTTP_PATHS = {"/healthz", "/readyz", "/metrics"}
# What an address takes where nobody listens on a port that is said.
DEFAULT_PORTS = {"pando-aggregator": {"mysql": 3306, "rpc": 7306, "http": 8306}, "pando-leaf": {"rpc": 7307, "http": 8307}}


@pytest.fixture(scope="module")
def base():
    return render(BASE)


@pytest.fixture(scope="module", params=["base", "tls"])
def objects(request, certificates):
    return render(BASE) if request.param == "base" else certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """The objects of k8s/tls, with certificates made by its own script."""
    copy = tmp_path_factory.mktemp("k8s")
    shutil.copytree(BASE, copy / "base")
    shutil.copytree(TLS, copy / "tls", ignore=shutil.ignore_patterns("certificates"))
    subprocess.run([copy / "tls" / "make-certificates"], check=True)
    return render(copy / "tls")


def test_schema(objects):
    newest = kubernetes_validate.latest_version()
    for thing in objects:
        for version in (OLDEST, newest):
            kubernetes_validate.validate(thing, version, strict=True)


def test_schema_finds_mistakes(base):
    """The validator is strict: a field in the wrong place is an error."""
    broken = yaml.safe_load(yaml.safe_dump(named(base, "StatefulSet", "pando-leaf")))
    broken["spec"]["template"]["spec"]["readinessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, OLDEST, strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here to compare with")
def test_kustomize_gives_the_same(base):
    result = subprocess.run(["kubectl", "kustomize", BASE], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    key = lambda thing: (thing["kind"], thing["metadata"]["name"])  # noqa: E731
    theirs = {key(thing): thing for thing in yaml.safe_load_all(result.stdout)}
    assert theirs == {key(thing): thing for thing in base}


def test_names_are_unique(objects):
    names = [(thing["kind"], thing["metadata"]["name"]) for thing in objects]
    assert len(names) == len(set(names))
    for thing in objects:
        assert thing["metadata"]["labels"]["app.kubernetes.io/name"] == "pando", thing["metadata"]


def test_selectors_match(objects):
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in of_kind(objects, "StatefulSet")]
    assert len(labels) == 3
    for one in of_kind(objects, "StatefulSet"):
        assert matches(one["spec"]["selector"]["matchLabels"], one["spec"]["template"]["metadata"]["labels"])
    for service in of_kind(objects, "Service"):
        assert sum(matches(service["spec"]["selector"], found) for found in labels) == 1, service["metadata"]
    budgets = of_kind(objects, "PodDisruptionBudget")
    for found in labels:
        taken = [budget for budget in budgets if matches(budget["spec"]["selector"]["matchLabels"], found)]
        assert len(taken) == 1, f"{found} is under {len(taken)} disruption budgets"
    assert len(budgets) == len(labels)
    # Spread over nodes and zones, each role by itself.
    for one in of_kind(objects, "StatefulSet"):
        spec = one["spec"]["template"]["spec"]
        (apart,) = spec["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        terms = [apart["podAffinityTerm"], *spec["topologySpreadConstraints"]]
        assert {term["topologyKey"] for term in terms} == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
        for term in terms:
            assert term["labelSelector"]["matchLabels"] == one["spec"]["selector"]["matchLabels"]


def test_services_point_to_ports_that_exist(objects):
    for service in of_kind(objects, "Service"):
        targets = [pod for pod in pods(objects) if matches(service["spec"]["selector"], pod.labels)]
        assert targets, service["metadata"]["name"]
        for pod in targets:
            for port in service["spec"]["ports"]:
                assert port["targetPort"] in pod.ports, (service["metadata"]["name"], port)
                assert pod.ports[port["targetPort"]] == port["port"]
    for one in of_kind(objects, "StatefulSet"):
        service = named(objects, "Service", one["spec"]["serviceName"])
        assert service["spec"]["clusterIP"] == "None", "only a headless service gives pods names"
        assert service["spec"]["publishNotReadyAddresses"], "a process is ready only after it was found by name"
        assert matches(service["spec"]["selector"], one["spec"]["template"]["metadata"]["labels"])
    (policy,) = of_kind(objects, "NetworkPolicy")
    known = {name for pod in pods(objects) for name in pod.ports}
    allowed = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    assert allowed == known
    for rule in policy["spec"]["ingress"]:
        if "from" not in rule:
            assert "rpc" not in {port["port"] for port in rule["ports"]}, "rpc is for the cluster alone"


def test_clients_reach_aggregators(objects):
    service = named(objects, "Service", "pando")
    targets = [pod for pod in pods(objects) if matches(service["spec"]["selector"], pod.labels)]
    assert {pod.program for pod in targets} == {"pando-aggregator"}
    assert not any("--master" in pod.arguments for pod in targets)


def test_probes(objects):
    for pod in pods(objects):
        container = pod.container
        for probe, path in [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")]:
            get = container[probe]["httpGet"]
            assert get["path"] == path and path in HTTP_PATHS
            assert get["port"] == "http" and "http" in pod.ports
            assert get.get("scheme", "HTTP") == "HTTP"
        # A restart loses more than waiting: liveness is patient, and starts only after the start is over.
        live = container["livenessProbe"]
        assert live["periodSeconds"] * live["failureThreshold"] >= 60
        start = container["startupProbe"]
        assert start["periodSeconds"] * start["failureThreshold"] >= 300


def test_metrics_are_where_the_annotations_say(objects):
    for one in of_kind(objects, "StatefulSet"):
        marks = one["spec"]["template"]["metadata"]["annotations"]
        assert marks["prometheus.io/path"] in HTTP_PATHS
        (container,) = one["spec"]["template"]["spec"]["containers"]
        assert {"name": "http", "containerPort": int(marks["prometheus.io/port"])} in container["ports"]


def split_argument(argument):
    name, sign, value = argument.removeprefix("--").partition("=")
    assert argument.startswith("--"), argument
    return name, value if sign else None


def effective_options(pod):
    """What the program sees: the file, overridden by the environment, overridden by the arguments."""
    arguments = dict(map(split_argument, pod.arguments))
    assert len(arguments) == len(pod.arguments), f"{pod.name}: an option twice"
    folder, _, file = arguments.pop("config").rpartition("/")
    text = pod.mounts[folder][file].decode()
    found = {name.replace("_", "-"): value for name, value in tomllib.loads(text).items()}
    for name, value in pod.environment.items():
        option = name.removeprefix("PANDO_").lower().replace("_", "-")
        if name.startswith("PANDO_") and option in OPTIONS["pando-aggregator"]:
            found[option] = value
    found.update(arguments)
    return found


def size(text):
    number, unit = re.fullmatch(r"(\d+)\s*([KMGT]i)B?", text).groups()
    return int(number) << {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40}[unit]


def test_options_exist_and_fit(objects):
    everyone = {name for pod in pods(objects) for name in pod.names}
    rpc_ports = {name: pod.ports["rpc"] for pod in pods(objects) for name in pod.names}
    for pod in pods(objects):
        options = effective_options(pod)
        arguments = {split_argument(argument)[0] for argument in pod.arguments}
        assert arguments - {"config"} <= OPTIONS[pod.program], pod.name
        unknown = set(options) - OPTIONS[pod.program]
        # One environment for all roles: a leaf does not look at what is for clients.
        assert unknown <= {"tls-cert", "tls-key"}, f"{pod.name}: {unknown}"
        for port, number in pod.ports.items():
            assert options.get(f"{port}-port", DEFAULT_PORTS[pod.program][port]) == number, (pod.name, port)
        assert ipaddress.ip_address(options["bind"]).is_unspecified
        assert options["advertise"] in pod.names
        for address in options["join"]:
            host, _, port = address.rpartition(":")
            assert host in everyone and rpc_ports[host] == int(port), address
        if "bootstrap-host" in options:
            assert "master" in options and options["bootstrap-host"] in everyone
        assert options["data"] in pod.mounts
        assert set(pod.environment) >= {"POD_NAME"}
        # The budget leaves room for what it does not count: stacks, code, buffers of the network.
        limit = size(pod.container["resources"]["limits"]["memory"])
        assert 0.5 * limit <= size(options["memory"]) <= 0.8 * limit, pod.name
        assert pod.container["resources"]["requests"]["memory"] == pod.container["resources"]["limits"]["memory"]
        sleep = pod.container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert pod.spec["terminationGracePeriodSeconds"] >= sleep + options["drain-seconds"] + 10, pod.name


def test_exactly_one_founds_the_cluster(objects):
    founders = {effective_options(pod).get("bootstrap-host") for pod in pods(objects)} - {None}
    assert len(founders) == 1
    (founder,) = founders
    assert [effective_options(pod)["advertise"] for pod in pods(objects)].count(founder) == 1
    masters = [pod for pod in pods(objects) if "master" in effective_options(pod)]
    assert len(masters) in (1, 3, 5), "an even number of voters bears no more failures than one less"
    for pod in pods(objects):
        joined = {address.rpartition(":")[0] for address in effective_options(pod)["join"]}
        assert joined == {master.names[0] for master in masters}
    for pod in masters:
        assert any(isinstance(mount, str) for mount in pod.mounts.values()), f"{pod.name} keeps the catalog"


def test_security(objects):
    for pod in pods(objects):
        security = pod.spec["securityContext"]
        assert security["runAsNonRoot"] and security["runAsUser"] == security["runAsGroup"] == security["fsGroup"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod.container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert pod.spec["automountServiceAccountToken"] is False
        assert pod.spec["enableServiceLinks"] is False, "PANDO_PORT of a service would be read as an option"
        assert not any(key in pod.spec for key in ("hostNetwork", "hostPID", "hostIPC"))


def test_images_have_the_version(objects):
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    for pod in pods(objects):
        assert pod.image == f"{pod.program}:{version}"
        assert (ROOT / "docker" / f"{pod.program}.Dockerfile").exists()


def test_certificates_are_found_and_name_every_pod(certificates):
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509.verification import PolicyBuilder, Store

    for pod in pods(certificates):
        options = effective_options(pod)
        files = {}
        for name in ("node-cert", "node-key", "node-ca", "tls-cert", "tls-key"):
            folder, _, file = options[name].rpartition("/")
            files[name] = pod.mounts[folder][file]
        authority = x509.load_pem_x509_certificate(files["node-ca"])
        verifier = PolicyBuilder().store(Store([authority]))
        for kind, names in [("node", [options["advertise"]]), ("tls", ["pando", "localhost", "pando.default.svc"])]:
            certificate = x509.load_pem_x509_certificate(files[f"{kind}-cert"])
            key = load_pem_private_key(files[f"{kind}-key"], None)
            assert key.public_key() == certificate.public_key()
            for name in names:
                verifier.build_server_verifier(x509.DNSName(name)).verify(certificate, [])
        node = x509.load_pem_x509_certificate(files["node-cert"])
        verifier.build_client_verifier().verify(node, [])
        assert not any(file.endswith("ca.key") for mount in pod.mounts.values() if isinstance(mount, dict) for file in mount)
