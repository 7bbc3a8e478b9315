"""Writes a Parquet table of sales beside this file and sums it up by region.

With --lose-an-executor the job ends one of its own executors on the way, to show that Spark and
Windlass heal it: the lost tasks run again, and a new executor takes the place of the lost one.
"""

import os
import signal
import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

ROWS = 2_000_000
REGIONS = ["north", "east", "south", "west"]


def executors(spark):
    """How many executors are registered with the driver, which counts itself as one more."""
    return spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size() - 1


def wait_for_executors(spark, wanted):
    deadline = time.monotonic() + 60
    while executors(spark) < wanted:
        if time.monotonic() > deadline:
            sys.exit(f"{wanted} executors did not come up within 60 s")
        time.sleep(0.2)


def lose_an_executor(spark, marker):
    """Ends the executor that the first task runs on; the task then runs again elsewhere."""

    def task(index, rows):
        if index == 0:
            try:
                os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                pass  # The second try of the task: the harm is done.
            else:
                os.kill(1, signal.SIGTERM)  # The executor is the first process of its pod.
                time.sleep(60)
        yield sum(rows)

    wait_for_executors(spark, 2)
    print("losing an executor", flush=True)
    total = spark.sparkContext.parallelize(range(1000), 4).mapPartitionsWithIndex(task).sum()
    if total != sum(range(1000)):
        sys.exit(f"the sum is {total}: a task was lost")
    wait_for_executors(spark, 2)
    print("healed: two executors again", flush=True)


def main():
    spark = SparkSession.builder.appName("sales").getOrCreate()
    folder = Path(__file__).parent
    table = str(folder / "sales.parquet")

    region = F.element_at(F.array(*map(F.lit, REGIONS)), (F.col("id") % 4 + 1).cast("int"))
    sales = spark.range(ROWS).select(region.alias("region"), (F.col("id") % 100).alias("amount"))
    sales.write.mode("overwrite").parquet(table)
    print(f"wrote {ROWS} rows", flush=True)

    if "--lose-an-executor" in sys.argv:
        marker = folder / "executor-lost"
        marker.unlink(missing_ok=True)
        lose_an_executor(spark, str(marker))

    totals = spark.read.parquet(table).groupBy("region").agg(F.sum("amount").alias("total"))
    for row in totals.orderBy("region").collect():
        print(f"{row.region:>5}: {row.total}", flush=True)
    rows = spark.read.parquet(table).count()
    print(f"read {rows} rows", flush=True)
    spark.stop()
    if rows != ROWS:
        sys.exit(f"{ROWS - rows} rows are missing")


if __name__ == "__main__":
    main()
