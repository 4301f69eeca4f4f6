"""Runs pods as a node of Kubernetes would: a network of its own for each, the image's files read-only,
the mounts and nothing else writable, the user of the security context, exactly the arguments and the
environment that the manifests give. What a container engine does in thousands of lines is here `ip netns
exec`, `unshare --mount`, `mount --bind` and `chroot`."""

import http.client
import os
import signal
import subprocess
import time

# Root of the image, user:group, then pairs of folder and mount path up to "--", then the command. Volumes
# that are read-only are named with a leading "ro:".
CONTAINER = """
root=$1; user=$2; shift 2
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount --bind /etc/hosts "$root/etc/hosts"
while [ "$1" != -- ]; do
    from=${1#ro:}
    mount --bind "$from" "$root$2"
    if [ "$from" != "$1" ]; then mount -o remount,ro,bind "$root$2"; fi
    shift 2
done
shift
mount -o remount,ro,bind "$root"
exec chroot --userspec="$user" "$root" "$@"
"""


class Container:
    """The one container of a pod, on a host. Volumes outlive it."""

    def __init__(self, pod, image, host, volumes):
        self.pod = pod
        self.image = image
        self.host = host
        self.log = volumes / f"{pod.name}.log"
        self.process = None
        security = pod.spec["securityContext"]
        assert (security["runAsUser"], security["runAsGroup"]) == (image.user, image.group)
        self.user = f"{security['runAsUser']}:{security['runAsGroup']}"
        self.mounts = [part for path, content in pod.mounts.items() for part in self.volume(volumes, path, content, security)]

    def volume(self, volumes, path, content, security):
        (self.image.root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
        if isinstance(content, dict):
            folder = volumes / self.pod.name / path.lstrip("/")
            folder.mkdir(parents=True)
            for name, data in content.items():
                (folder / name).write_bytes(data)
            return [f"ro:{folder}", path]
        folder = volumes / (content or f"empty-{self.pod.name}")
        folder.mkdir()
        # As fsGroup has it: the folder is root's, and the group's to write.
        os.chown(folder, 0, security["fsGroup"])
        folder.chmod(0o2775)
        return [str(folder), path]

    def start(self):
        (self.image.root / "etc" / "hosts").touch()
        assert self.pod.container["securityContext"]["readOnlyRootFilesystem"]
        command = [*self.host.prefix, "unshare", "--mount", "--propagation", "private", "setpriv", "--no-new-privs"]
        command += ["sh", "-euc", CONTAINER, "sh", self.image.root, self.user, *self.mounts, "--"]
        command += [*self.image.entrypoint, *self.pod.arguments]
        environment = {**self.image.environment, **self.pod.environment}
        with open(self.log, "a") as log:
            # Its own session: what a terminal sends to the tests is not for it.
            self.process = subprocess.Popen(
                list(map(str, command)), env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def get(self, path, timeout=5):
        return self.host.get(self.pod.ports["http"], path, timeout)

    def probe(self, name):
        """One try of a probe: whether it succeeded."""
        probe = self.pod.container[name]
        try:
            status, _ = self.get(probe["httpGet"]["path"], probe.get("timeoutSeconds", 1))
        except (OSError, http.client.HTTPException):
            return False
        return 200 <= status < 400

    def wait_for(self, name, deadline):
        while not self.probe(name):
            code = self.process.poll()
            assert code is None, f"{self.pod.name} ended with {code}:\n{self.log.read_text()}"
            assert time.monotonic() < deadline, f"{self.pod.name}: {name} fails:\n{self.log.read_text()}"
            time.sleep(0.05)

    def stop(self):
        """As a pod is deleted, without the preStop sleep. Returns the exit code and the seconds it took."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(self.pod.spec["terminationGracePeriodSeconds"])
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.pod.name} would have been killed:\n{self.log.read_text()}") from None
        return code, time.monotonic() - begin

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
