"""Writes a Parquet table of sales beside this file and sums it up by region.

With --lose-an-executor the job kills one of its own executors on the way, through the Kubernetes
API as anyone could, to show that Spark and Windlass heal it.
"""

import json
import ssl
import sys
import time
import urllib.request
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
ROWS = 2_000_000


def api(spark, method, path, body=None):
    """Calls the Kubernetes API with the rights of the driver's service account."""
    master = spark.conf.get("spark.kubernetes.driver.master", "https://kubernetes.default.svc")
    request = urllib.request.Request(
        master.removeprefix("k8s://") + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": "Bearer " + (ACCOUNT / "token").read_text(),
            "Content-Type": "application/json",
        },
    )
    trust = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, context=trust, timeout=10) as answer:
        return json.load(answer)


def executors(spark):
    """The names of this application's running executor pods."""
    namespace = (ACCOUNT / "namespace").read_text()
    pods = f"/api/v1/namespaces/{namespace}/pods"
    selector = f"spark-role%3Dexecutor%2Cspark-app-selector%3D{spark.sparkContext.applicationId}"
    found = api(spark, "GET", f"{pods}?labelSelector={selector}")["items"]
    return pods, [p["metadata"]["name"] for p in found if p["status"].get("phase") == "Running"]


def lose_an_executor(spark):
    """Kills one executor at once, without grace."""
    deadline = time.monotonic() + 60
    while True:
        pods, names = executors(spark)
        if len(names) >= 2:
            break
        if time.monotonic() > deadline:
            sys.exit("two executors did not come up within 60 s")
        time.sleep(0.5)
    print(f"killing executor {names[0]}", flush=True)
    api(spark, "DELETE", f"{pods}/{names[0]}", {"gracePeriodSeconds": 0})


def main():
    spark = SparkSession.builder.appName("sales").getOrCreate()
    table = str(Path(__file__).parent / "sales.parquet")

    sales = spark.range(ROWS).select(
        F.element_at(F.array(*map(F.lit, ["north", "east", "south", "west"])), (F.col("id") % 4 + 1).cast("int")).alias("region"),
        (F.col("id") % 100).alias("amount"),
    )
    sales.write.mode("overwrite").parquet(table)
    print(f"wrote {ROWS} rows", flush=True)

    if "--lose-an-executor" in sys.argv:
        lose_an_executor(spark)

    totals = spark.read.parquet(table).groupBy("region").agg(F.sum("amount").alias("total")).orderBy("region")
    for row in totals.collect():
        print(f"{row.region:>5}: {row.total}", flush=True)
    rows = spark.read.parquet(table).count()
    print(f"read {rows} rows", flush=True)
    spark.stop()
    if rows != ROWS:
        sys.exit(f"{ROWS - rows} rows are missing")


if __name__ == "__main__":
    main()
