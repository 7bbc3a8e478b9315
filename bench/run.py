#!/usr/bin/env python3
"""Measures what docs/benchmarks.md says and prints it as Markdown.

    bench/run.py PATH-TO-WINDLASS [--runs N]

Compare within one run: machines are noisy. Everything runs on loopback in a scratch folder.
"""

import argparse
import base64
import http.client
import json
import os
import platform
import re
import resource
import shutil
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("WINDLASS_CACHE", Path.home() / ".cache/windlass"))


def spread(values, unit, digits=0):
    return (
        f"{statistics.median(values):.{digits}f} {unit} "
        f"({min(values):.{digits}f} to {max(values):.{digits}f})"
    )


def children_cpu():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def timed(command, **kwargs):
    """Wall and CPU seconds of a command and its children, and its result."""
    cpu, start = children_cpu(), time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, **kwargs)
    return time.monotonic() - start, children_cpu() - cpu, done


class Up:
    """A `windlass up` with a data directory of its own."""

    def __init__(self, windlass, data):
        self.data = Path(data)
        start = time.monotonic()
        self.process = subprocess.Popen(
            [windlass, "up", "--data-dir", data, "--port", "0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() - start > 30:
                sys.exit("windlass up did not start: " + self.process.stderr.read().decode())
            time.sleep(0.002)
        self.seconds = time.monotonic() - start

    def ready(self):
        try:
            holder = json.loads((self.data / "up.lock").read_text())
        except (FileNotFoundError, ValueError):
            return False
        # The file outlives its writer: what it says counts only of this process.
        return holder["ready"] and holder["pid"] == self.process.pid

    def rss_mib(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024

    def cpu(self):
        """CPU seconds of the control plane's own process, without the pods'."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def api(self):
        """A connection to the API, and the headers that every request needs."""
        text = (self.data / "kubeconfig").read_text()
        find = lambda key: re.search(rf"{key}: (\S+)", text).group(1)
        authority = base64.b64decode(find("certificate-authority-data")).decode()
        host, port = find("server").removeprefix("https://").split(":")
        connection = http.client.HTTPSConnection(
            host, int(port), context=ssl.create_default_context(cadata=authority)
        )
        return connection, {
            "Authorization": f"Bearer {find('token')}",
            "Content-Type": "application/json",
        }

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=60)


def bench_up(windlass, runs):
    fresh, again, memory, settled = [], [], [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as data:
            first = Up(windlass, data)
            first.stop()
            second = Up(windlass, data)
            fresh.append(first.seconds * 1000)
            again.append(second.seconds * 1000)
            memory.append(second.rss_mib())
            time.sleep(3)
            settled.append(second.rss_mib())
            second.stop()
    return [
        ("`windlass up`, empty data directory, to ready", spread(fresh, "ms")),
        ("`windlass up`, existing data directory, to ready", spread(again, "ms")),
        ("resident memory at ready", spread(memory, "MiB", 1)),
        ("resident memory 3 s later", spread(settled, "MiB", 1)),
    ]


def bench_job(windlass, runs):
    first_pod, adds, driver = [], [], []
    for _ in range(runs):
        wall, _, done = timed(
            [windlass, "run", "--progress", "plain", "-f", ROOT / "examples/spark-pi.yaml"]
        )
        if done.returncode != 0:
            sys.exit("the Pi run failed:\n" + done.stderr)
        running = float(re.search(r"^\s*([\d.]+)s  driver running", done.stderr, re.M).group(1))
        seconds = float(re.search(r"^  driver\s+([\d.]+) s", done.stderr, re.M).group(1))
        first_pod.append(running)
        driver.append(seconds)
        adds.append(wall - seconds)
    return [
        ("`windlass run` to the driver Running (embedded cluster started in process)", spread(first_pod, "s", 2)),
        ("the driver's own time, Pi with two executors", spread(driver, "s", 1)),
        ("what Windlass adds: the whole command less the driver's own time", spread(adds, "s", 2)),
    ]


def bench_by_hand(windlass, runs):
    """The same job with its driver started by hand, beside `windlass run`, on one cluster."""
    homes = dict(spark_homes())
    home = homes["4.3.0"]
    python = home.parents[3] / "bin/python3"
    hand, ours = [], []
    with tempfile.TemporaryDirectory() as data:
        up = Up(windlass, data)
        server = json.loads((Path(data) / "up.lock").read_text())["server"]
        by_hand = [
            home / "bin/spark-submit", "--master", f"k8s://{server}", "--deploy-mode", "client",
            "--driver-memory", "512m", "--executor-memory", "512m",
            "--conf", "spark.executor.instances=2",
            "--conf", "spark.driver.host=127.0.0.1",
            "--conf", "spark.driver.bindAddress=127.0.0.1",
            "--conf", "spark.kubernetes.container.image=apache/spark:4.3.0",
            home / "examples/src/main/python/pi.py", "10",
        ]
        environment = {
            **os.environ,
            "KUBECONFIG": f"{data}/kubeconfig",
            "SPARK_HOME": str(home),
            "PYSPARK_PYTHON": str(python),
            "WINDLASS_DATA_DIR": data,
        }
        pi = [windlass, "run", "--progress", "plain", "-f", ROOT / "examples/spark-pi.yaml"]
        for number in range(max(runs, 5)):
            # In turn, so that a machine that slows down or speeds up favours neither.
            pair = [(by_hand, hand), (pi, ours)]
            for command, walls in pair if number % 2 == 0 else reversed(pair):
                wall, _, done = timed(command, env=environment)
                if done.returncode != 0 or "Pi is roughly" not in done.stdout:
                    sys.exit("the Pi run failed:\n" + done.stdout[-2000:] + done.stderr[-2000:])
                walls.append(wall)
        up.stop()
    return [
        ("Pi with two executors, its driver started by hand (spark-submit in client mode): wall", spread(hand, "s", 1)),
        ("the same by `windlass run` on the same cluster: wall", spread(ours, "s", 1)),
        ("difference, pair by pair", spread([b - a for a, b in zip(hand, ours)], "s", 1)),
    ]


def spark_homes():
    for version in ("3.5.9", "4.3.0"):
        found = list((CACHE / "spark" / version).glob("lib/python*/site-packages/pyspark"))
        if found:
            yield version, found[0]


def bench_submission(windlass, runs):
    rows = []
    with tempfile.TemporaryDirectory() as data:
        up = Up(windlass, data)
        server = json.loads((Path(data) / "up.lock").read_text())["server"]
        environment = {**os.environ, "KUBECONFIG": f"{data}/kubeconfig"}
        for version, home in spark_homes():
            # The image is not to be had, so only the submission itself is measured.
            arguments = [
                "--master", f"k8s://{server}", "--deploy-mode", "cluster", "--name", "bench",
                "--class", "org.example.Main",
                "--conf", "spark.kubernetes.container.image=spark:0.1",
                "--conf", "spark.kubernetes.submission.waitAppCompletion=false",
                "local:///opt/app.jar",
            ]
            theirs, ours = [], []
            for _ in range(runs):
                wall, cpu, done = timed(
                    [home / "bin/spark-submit", *arguments],
                    env={**environment, "SPARK_HOME": str(home)},
                )
                if done.returncode != 0:
                    sys.exit("spark-submit failed:\n" + done.stderr[-2000:])
                theirs.append((wall, cpu))
                wall, cpu, done = timed(
                    [windlass, "render", "-o", "json", "--spark-version", version, "--", *arguments]
                )
                if done.returncode != 0:
                    sys.exit("render failed:\n" + done.stderr)
                ours.append((wall, cpu))
            ratio = statistics.median(a[1] / max(b[1], 1e-4) for a, b in zip(theirs, ours))
            rows += [
                (f"spark-submit {version}: wall", spread([a[0] for a in theirs], "s", 2)),
                (f"spark-submit {version}: CPU", spread([a[1] for a in theirs], "s", 2)),
                (f"native, as a whole process: wall", spread([b[0] * 1000 for b in ours], "ms", 1)),
                (f"native, as a whole process: CPU", spread([b[1] * 1000 for b in ours], "ms", 1)),
                (f"CPU ratio, pair by pair", f"{ratio:.0f} to 1"),
            ]
        up.stop()
    return rows


APPLICATIONS = "/apis/sparkoperator.k8s.io/v1beta2/namespaces/default/sparkapplications"


def burst_application(number):
    # The image is not to be had, so no driver starts and only the control plane works.
    role = {"cores": 1, "memory": "512m"}
    return {
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {"name": f"burst-{number}"},
        "spec": {
            "type": "Python",
            "mode": "cluster",
            "sparkVersion": "4.3.0",
            "image": "spark:0.1",
            "mainApplicationFile": "local:///opt/job.py",
            "driver": {**role, "serviceAccount": "spark"},
            "executor": {**role, "instances": 2},
        },
    }


def bench_burst(windlass, runs, count=200):
    """Many applications at once: how soon each has its driver pod, and what that costs."""
    cpu, wall, memory = [], [], []
    for _ in range(min(runs, 3)):
        with tempfile.TemporaryDirectory() as data:
            up = Up(windlass, data)
            connection, headers = up.api()

            def call(method, path, body=None):
                connection.request(method, path, body and json.dumps(body), headers)
                reply = connection.getresponse()
                text = reply.read()
                if reply.status >= 300:
                    sys.exit(f"{method} {path}: {text.decode()}")
                return json.loads(text)

            # The first application makes the process touch what every later one shares.
            call("POST", APPLICATIONS, burst_application("warm"))
            time.sleep(3)
            before, rss, start = up.cpu(), up.rss_mib(), time.monotonic()
            for number in range(count):
                call("POST", APPLICATIONS, burst_application(number))
            drivers = "/api/v1/namespaces/default/pods?labelSelector=spark-role%3Ddriver"
            while len(call("GET", drivers + "&limit=1000")["items"]) <= count:
                time.sleep(0.05)
            wall.append(time.monotonic() - start)
            cpu.append((up.cpu() - before) * 1000 / count)
            time.sleep(2)
            memory.append((up.rss_mib() - rss) * 1024 / count)
            up.process.kill()
            up.process.wait()
    return [
        (f"{count} applications at once, one client: until the last driver pod exists", spread(wall, "s", 2)),
        ("CPU of the whole control plane per application: API server, store, scheduler, node and operator", spread(cpu, "ms", 1)),
        ("resident memory of the whole control plane per application", spread(memory, "KiB", 1)),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("windlass", type=lambda path: str(Path(path).resolve()))
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    java = subprocess.run(["java", "-version"], capture_output=True, text=True).stderr.splitlines()[0]
    print(f"Machine: {os.cpu_count()} cores, Linux {platform.release()}, {java}. Runs: {arguments.runs}; median (minimum to maximum).\n")
    print("| what | measured |\n|---|---|")
    for part in (bench_up, bench_burst, bench_submission, bench_job, bench_by_hand):
        for name, value in part(arguments.windlass, arguments.runs):
            print(f"| {name} | {value} |", flush=True)


if __name__ == "__main__":
    shutil.which("java") or sys.exit("java is missing: run hack/setup.sh")
    main()
