"""Writes rows to a file of SQLite one after another, each when the one before is on the disk, and reads all of
them back in the end.

    writer.py FILE

A line of its input begins another phase, and an empty one, or none, ends the writing. What it prints is a line
of JSON: for each phase how many rows were written, and how long that took in milliseconds, at the median, for
99 of 100, and at most; how often a row was refused, and which of the rest are not there.
"""
import json
import sqlite3
import sys
import threading
import time


def connect():
    connection = sqlite3.connect(sys.argv[1], isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    # A row is written when the disk has it, and not when the kernel does.
    connection.execute("PRAGMA synchronous = FULL")
    return connection


connection = connect()
connection.execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, text TEXT)")

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
        connection.execute("INSERT INTO orders (id, text) VALUES (?, ?)", (number, f"order {number}"))
        acknowledged.append(number)
    except sqlite3.Error as error:
        refused.append(f"{number}: {error}")
    latencies.append((time.perf_counter() - begun) * 1000)
    number += 1

connection.close()
connection = connect()
[(said,)] = connection.execute("PRAGMA integrity_check").fetchmany(1)
if said != "ok":
    refused.append(said)
found = dict(connection.execute("SELECT id, text FROM orders"))
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
