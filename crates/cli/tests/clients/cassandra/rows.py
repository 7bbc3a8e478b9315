"""Writes rows to a ring, and reads what was written, with the Python driver.

    rows.py ADDRESS[,ADDRESS...] write FROM TO
    rows.py ADDRESS[,ADDRESS...] read TO

Three copies of each row, written to and read from a quorum of them.
"""
import sys

from cassandra import ConsistencyLevel
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.policies import RoundRobinPolicy

addresses, what, *numbers = sys.argv[1:]
numbers = [int(number) for number in numbers]
profile = ExecutionProfile(
    load_balancing_policy=RoundRobinPolicy(),
    consistency_level=ConsistencyLevel.QUORUM,
    request_timeout=60,
)
cluster = Cluster(
    addresses.split(","),
    execution_profiles={EXEC_PROFILE_DEFAULT: profile},
    protocol_version=5,
    connect_timeout=30,
)
session = cluster.connect()
if what == "write":
    session.execute(
        "CREATE KEYSPACE IF NOT EXISTS shop WITH replication ="
        " {'class': 'SimpleStrategy', 'replication_factor': 3}"
    )
    session.execute("CREATE TABLE IF NOT EXISTS shop.orders (id int PRIMARY KEY, text text)")
    write = session.prepare("INSERT INTO shop.orders (id, text) VALUES (?, ?)")
    rows = [(number, f"order {number}") for number in range(*numbers)]
    execute_concurrent_with_args(session, write, rows, concurrency=20)
    print("wrote", len(rows))
else:
    read = session.prepare("SELECT text FROM shop.orders WHERE id = ?")
    keys = [(number,) for number in range(*numbers)]
    answers = execute_concurrent_with_args(session, read, keys, concurrency=20)
    found = [answer.one() for _, answer in answers]
    right = [row and row.text == f"order {number}" for number, row in enumerate(found)]
    print("read", right.count(True), "of", len(right))
cluster.shutdown()
