"""A small real Flink on this machine: its jars, its processes, its jobs. Nothing listens but on 127.0.0.1."""
import contextlib
import ctypes
import errno
import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
import uuid

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("THALWEG_FLINK_CACHE") or pathlib.Path.home() / ".cache" / "thalweg-flink")
VERSION = "2.3.0"
# A cluster needs no more of a distribution; the rest is for tables and scripts.
JARS = re.compile(r"(flink-dist|log4j)[^/]*\.jar$")
LOGGING = """\
status = error
rootLogger.level = info
rootLogger.appenderRef.all.ref = all
appender.all.name = all
appender.all.type = File
appender.all.fileName = ${sys:log.file}
appender.all.layout.type = PatternLayout
appender.all.layout.pattern = %d %p %c{1} %m%n
"""


class Missing(Exception):
    """Something that this machine or the caller must provide. Exit code 2."""


def need_java():
    """Checks that there is a JDK 17 or later."""
    for tool in ("java", "javac", "jar"):
        if not shutil.which(tool):
            raise Missing(f"expected '{tool}' of a JDK 17 or later in PATH, found none")
    told = subprocess.run(["java", "-version"], capture_output=True, text=True).stderr
    version = re.search(r'version "(\d+)', told)
    if not version or int(version.group(1)) < 17:
        raise Missing(f"expected a JDK 17 or later, found {told.splitlines()[0] if told else 'one that does not tell its version'}")


@contextlib.contextmanager
def alone(path):
    """Holds a lock on a file, after waiting for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def jars(version=VERSION):
    """The folder of Flink's jars: $FLINK_LIB, or downloaded from PyPI once."""
    if os.environ.get("FLINK_LIB"):
        folder = pathlib.Path(os.environ["FLINK_LIB"]).resolve()
        if not list(folder.glob("flink-dist*.jar")):
            raise Missing(f"FLINK_LIB: expected a folder with flink-dist*.jar, found {folder}")
        return folder
    folder = CACHE / version / "lib"
    if folder.exists():
        return folder
    with alone(CACHE / "lock"):
        if not folder.exists():
            part = CACHE / f"{version}.part"
            shutil.rmtree(part, ignore_errors=True)
            try:
                download(version, part)
                os.rename(part, folder.parent)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    return folder


def download(version, part):
    """Downloads the jars of a version into part/lib, by pip alone: nothing is installed."""
    print(f"downloads the jars of Flink {version} (about 330 MB) into {CACHE}", file=sys.stderr)
    (part / "lib").mkdir(parents=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", ":all:"]
    done = subprocess.run([*pip, "--dest", str(part), f"apache-flink-libraries=={version}"], stdin=subprocess.DEVNULL, stdout=sys.stderr)
    archives = list(part.glob("*.tar.gz"))
    if done.returncode or len(archives) != 1:
        raise Missing(f"expected pip to download apache-flink-libraries=={version}, it did not (exit code {done.returncode}); or set FLINK_LIB")
    with tarfile.open(archives[0]) as archive:
        for member in archive:
            if member.isfile() and "/lib/" in member.name and JARS.search(member.name):
                with open(part / "lib" / pathlib.PurePosixPath(member.name).name, "wb") as file:
                    shutil.copyfileobj(archive.extractfile(member), file, 1 << 20)
    archives[0].unlink()
    if not list((part / "lib").glob("flink-dist*.jar")):
        raise Missing(f"expected flink-dist*.jar in apache-flink-libraries=={version}, found none")


def jobs_jar(lib):
    """The jar of our jobs, built for these jars of Flink if it was not."""
    sources = sorted((HERE / "jobs").glob("*.java"))
    text = b"".join(source.read_bytes() for source in sources) + str(sorted(p.name for p in lib.glob("flink-dist*.jar"))).encode()
    jar = CACHE / f"jobs-{hashlib.sha256(text).hexdigest()[:16]}.jar"
    if jar.exists():
        return jar
    with alone(CACHE / "lock"):
        part = CACHE / f"{jar.name}.part"
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir(parents=True)
            subprocess.run(["javac", "-nowarn", "-Xlint:none", "--release", "17", "-d", str(part / "classes"), "-cp", f"{lib}/*", *map(str, sources)],
                           check=True, stdout=sys.stderr)
            subprocess.run(["jar", "cf", str(part / jar.name), "-C", str(part / "classes"), "."], check=True, stdout=sys.stderr)
            os.rename(part / jar.name, jar)
        except subprocess.CalledProcessError as why:
            raise Missing(f"expected the jobs in {HERE / 'jobs'} to build, {why.cmd[0]} failed with exit code {why.returncode}") from None
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return jar


def call(method, url, body=None, kind="application/json", timeout=20):
    """Asks REST: the status and the decoded answer, of an error too."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    request = urllib.request.Request(url, data, {"Content-Type": kind}, method=method)
    try:
        with opener.open(request, timeout=timeout) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    try:
        return status, json.loads(text or b"{}")
    except ValueError:
        return status, {"errors": [text[:200].decode(errors="replace")]}


# Loopback needs no proxy.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def configuration(folder, slots, more):
    """Flink's configuration of a cluster in a folder."""
    ports = {key: free_port() for key in ("jobmanager.rpc.port", "blob.server.port", "rest.port")}
    local = dict.fromkeys(("jobmanager.rpc.address", "jobmanager.bind-host", "taskmanager.host", "taskmanager.bind-host", "rest.address",
                           "rest.bind-address"), "127.0.0.1")
    adaptive = "jobmanager.adaptive-scheduler"
    waits = ("submission.resource-stabilization-timeout", "executing.resource-stabilization-timeout", "executing.cooldown-after-rescaling",
             "rescale-trigger.max-delay")
    settings = {
        **local, **ports,
        # A rescale begins at once.
        "jobmanager.scheduler": "adaptive", **{f"{adaptive}.{wait}": "0 s" for wait in waits},
        f"{adaptive}.submission.resource-wait-timeout": "20 s",
        # The same by the names of 1.20.
        f"{adaptive}.resource-wait-timeout": "20 s", f"{adaptive}.resource-stabilization-timeout": "0 s", f"{adaptive}.scaling-interval.min": "0 s",
        # What it did about each request is told afterwards (from 2.3 on).
        "web.adaptive-scheduler.rescale-history.size": 100,
        # Epochs of one second, by aligned checkpoints.
        "execution.checkpointing.interval": "1 s", "execution.checkpointing.dir": f"file://{folder}/checkpoints",
        "execution.checkpointing.savepoint-dir": f"file://{folder}/savepoints", "web.checkpoints.history": 30,
        # A failed job goes on.
        "restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.attempts": 100000, "restart-strategy.fixed-delay.delay": "100 ms",
        "heartbeat.interval": 1000, "heartbeat.timeout": 6000,
        # Answers that are fresh.
        "web.refresh-interval": 200, "metrics.fetcher.update-interval": 500,
        # Few bytes in buffers: what stands in them is told by backpressure too.
        "taskmanager.network.memory.buffer-debloat.enabled": "true", "taskmanager.memory.segment-size": "4kb",
        "taskmanager.memory.min-segment-size": "256b",
        "web.upload.dir": folder / "upload", "io.tmp.dirs": folder / "tmp",
        # What Flink's scripts would work out for a TaskManager.
        "taskmanager.numberOfTaskSlots": slots, "taskmanager.cpu.cores": f"{slots}.0",
        "taskmanager.memory.framework.heap.size": "128m", "taskmanager.memory.task.heap.size": "384m",
        "taskmanager.memory.framework.off-heap.size": "128m", "taskmanager.memory.task.off-heap.size": "0m",
        "taskmanager.memory.managed.size": "64m", "taskmanager.memory.network.min": "128m", "taskmanager.memory.network.max": "128m",
        "taskmanager.memory.jvm-metaspace.size": "192m", "taskmanager.memory.jvm-overhead.min": "192m",
        "taskmanager.memory.jvm-overhead.max": "192m",
    }
    settings.update(more)
    return settings


def with_parent():
    """Ends this process when its parent ends, where the system can do that."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


OPENED = ("java.lang", "java.lang.reflect", "java.io", "java.net", "java.nio", "java.text", "java.time", "java.util", "java.util.concurrent",
          "java.util.concurrent.atomic", "java.util.concurrent.locks", "sun.nio.ch")


def java(folder, lib, name, main):
    """Starts a process of Flink."""
    opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED]
    sizes = ["-XX:+UseSerialGC", "-Xmx512m", "-XX:MaxMetaspaceSize=192m", "-XX:TieredStopAtLevel=1"]
    logs = [f"-Dlog.file={folder}/log/{name}.log", f"-Dlog4j2.configurationFile={folder}/conf/log4j2.properties"]
    command = ["java", *sizes, *opened, *logs, "-cp", f"{lib}/*", f"org.apache.flink.runtime.{main}", "--configDir", f"{folder}/conf"]
    with open(folder / "log" / f"{name}.out", "a") as out:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, preexec_fn=with_parent)


class Cluster:
    """A JobManager and some TaskManagers in a folder; ends with this process."""

    def __init__(self, folder, taskmanagers=1, slots=16, version=VERSION, more=None):
        need_java()
        self.folder, self.processes, self.lock = pathlib.Path(folder).resolve(), {}, None
        self.lib, self.taskmanagers = jars(version), taskmanagers
        self.hold()
        began = time.monotonic()
        for attempt in (1, 2, 3):
            settings = configuration(self.folder, slots, more or {})
            text = "".join(f"{key}: {value}\n" for key, value in settings.items())
            # Flink 1.20 reads both forms, later ones only this.
            (self.folder / "conf" / "config.yaml").write_text(text)
            (self.folder / "conf" / "log4j2.properties").write_text(LOGGING)
            self.rest = f"http://127.0.0.1:{settings['rest.port']}"
            self.start("jobmanager", "entrypoint.StandaloneSessionClusterEntrypoint")
            for number in range(taskmanagers):
                self.start(f"taskmanager{number}", "taskexecutor.TaskManagerRunner")
            if self.is_up(began + 120):
                break
            self.stop()
            # Between looking for a free port and taking it, somebody else may have.
            taken = any("Address already in use" in log.read_text(errors="replace") for log in (self.folder / "log").iterdir())
            if attempt == 3 or not taken:
                raise Missing(f"expected a cluster of Flink to start, it did not: see {self.folder}/log")
        self.seconds = round(time.monotonic() - began, 1)
        self.tell()

    def hold(self):
        for name in ("conf", "log", "upload", "checkpoints", "savepoints", "tmp"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.lock = open(self.folder / "lock", "a")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Missing(f"expected a folder of its own for a cluster, found that of one that runs: {self.folder}") from None

    def tell(self):
        """Writes what others need to know of this cluster."""
        told = {"rest": self.rest, "folder": str(self.folder), "lib": str(self.lib), "holder": os.getpid(),
                "processes": {name: process.pid for name, process in self.processes.items()}, "seconds": self.seconds}
        part = self.folder / "cluster.json.part"
        part.write_text(json.dumps(told) + "\n")
        os.rename(part, self.folder / "cluster.json")
        return told

    def start(self, name, main):
        self.processes[name] = java(self.folder, self.lib, name, main)

    def end(self, name):
        """Kills a process, as a machine that fails would."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def is_up(self, until):
        while time.monotonic() < until and all(process.poll() is None for process in self.processes.values()):
            with contextlib.suppress(OSError):
                if call("GET", f"{self.rest}/overview", timeout=5)[1].get("taskmanagers") == self.taskmanagers:
                    return True
            time.sleep(0.2)
        return False

    def stop(self):
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()
        self.processes = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        with contextlib.suppress(FileNotFoundError):
            (self.folder / "cluster.json").unlink()


def found(folder):
    """What is known of the cluster in a folder."""
    try:
        return json.loads((pathlib.Path(folder) / "cluster.json").read_text())
    except FileNotFoundError:
        raise Missing(f"expected a running cluster in {folder}, found none") from None


def submit(rest, lib, arguments, settings=None, savepoint=None):
    """Starts a job, by NAME=VALUE arguments: its id."""
    edge, jar = uuid.uuid4().hex, jobs_jar(pathlib.Path(lib))
    head = f'--{edge}\r\nContent-Disposition: form-data; name="jarfile"; filename="jobs.jar"\r\nContent-Type: application/x-java-archive\r\n\r\n'
    form = head.encode() + jar.read_bytes() + f"\r\n--{edge}--\r\n".encode()
    status, answer = call("POST", f"{rest}/jars/upload", form, f"multipart/form-data; boundary={edge}", 60)
    if status == 200:
        run = {"entryClass": "thalweg.jobs.Job", "programArgsList": list(arguments), "flinkConfiguration": settings or {}}
        if savepoint:
            run["savepointPath"] = savepoint
        status, answer = call("POST", f"{rest}/jars/{pathlib.PurePosixPath(answer['filename']).name}/run", run, timeout=120)
    if status != 200:
        lines = [line for error in answer.get("errors", []) for line in error.splitlines() if "Exception" in line]
        raise Missing(f"expected the job to start, found status {status}: {lines[-1] if lines else answer}")
    return answer["jobid"]


def wait_for(rest, job, states, seconds):
    """Waits until a job is in one of these states: its state, or None."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            state = call("GET", f"{rest}/jobs/{job}")[1].get("state")
            if state in states:
                return state
        time.sleep(0.2)
    return None


def lines_of(path):
    """The whole lines of JSON of a file that is being written; none if it is not there."""
    try:
        text = pathlib.Path(path).read_text()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.split("\n")[:-1]]


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno == errno.EPERM
    return True
