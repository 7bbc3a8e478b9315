"""Writes rows one after another, as fast as they are acknowledged, and reads all of them back in the end.

    writer.py ADDRESS

A line of its input begins another phase, and an empty one, or none, ends the writing. What it prints is a line
of JSON: for each phase how many rows were acknowledged, and how long that took in milliseconds, at the median,
for 99 of 100, and at most; how often a write was not acknowledged, and how many rows are there.
"""
import json
import sys
import threading
import time

from cassandra import ConsistencyLevel
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import RoundRobinPolicy

profile = ExecutionProfile(
    load_balancing_policy=RoundRobinPolicy(),
    consistency_level=ConsistencyLevel.ONE,
    request_timeout=60,
)
cluster = Cluster(
    [sys.argv[1]],
    execution_profiles={EXEC_PROFILE_DEFAULT: profile},
    protocol_version=5,
    connect_timeout=30,
)
session = cluster.connect()
session.execute(
    "CREATE KEYSPACE IF NOT EXISTS shop WITH replication ="
    " {'class': 'SimpleStrategy', 'replication_factor': 1}"
)
session.execute("CREATE TABLE IF NOT EXISTS shop.orders (id int PRIMARY KEY, text text)")
write = session.prepare("INSERT INTO shop.orders (id, text) VALUES (?, ?)")

phases = []
is_over = threading.Event()


def listen():
    for line in sys.stdin:
        if not line.strip():
            break
        phases.append((line.strip(), []))
    is_over.set()


threading.Thread(target=listen, daemon=True).start()
acknowledged = []
refused = []
number = 0
while not is_over.is_set():
    if not phases:
        time.sleep(0.01)
        continue
    latencies = phases[-1][1]
    begun = time.perf_counter()
    try:
        session.execute(write, (number, f"order {number}"))
        acknowledged.append(number)
    except Exception as error:
        refused.append(f"{number}: {error}")
    latencies.append((time.perf_counter() - begun) * 1000)
    number += 1

# In one go: a table of this size is read whole.
session.default_fetch_size = 5000
found = {row.id: row.text for row in session.execute("SELECT id, text FROM shop.orders")}
lost = [number for number in acknowledged if found.get(number) != f"order {number}"]


def at(latencies, share):
    return round(sorted(latencies)[min(int(len(latencies) * share), len(latencies) - 1)], 2)


print(json.dumps({
    "phases": [
        {"name": name, "rows": len(it), "p50": at(it, 0.5), "p99": at(it, 0.99), "max": at(it, 1)}
        for name, it in phases if it
    ],
    "acknowledged": len(acknowledged),
    "refused": refused[:10],
    "lost": lost[:10],
}))
cluster.shutdown()
