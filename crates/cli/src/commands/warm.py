"""Uses what most jobs use, so that its JVM has loaded what most jobs load when it ends.

    warm.py FOLDER

First with an executor of the cluster, as a driver does, which takes no more than a glance; then all of
it by itself, as executors do.
"""

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

FOLDER = sys.argv[1]
# What an executor's process starts with.
EXECUTOR = [
    "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend",
    "org.apache.spark.executor.CoarseGrainedExecutorBackend",
]


def work(spark):
    numbers = spark.range(1000).select(
        (F.col("id") % 10).alias("key"),
        F.concat(F.lit("n"), F.col("id").cast("string")).alias("text"),
        F.rand(1).alias("amount"),
    )
    for form in ("parquet", "json", "csv"):
        path = f"{FOLDER}/{form}"
        numbers.write.mode("overwrite").format(form).save(path)
        spark.read.format(form).load(path).count()
    table = spark.read.parquet(f"{FOLDER}/parquet")
    table.createOrReplaceTempView("numbers")
    totals = table.groupBy("key").agg(F.sum("amount").alias("total"), F.countDistinct("text"))
    table.join(totals, "key").orderBy("total").limit(5).collect()
    spark.sql("SELECT key, max(text) FROM numbers WHERE amount > 0.5 GROUP BY key").show()
    spark.createDataFrame([(1, "a"), (2, "b")], ["id", "word"]).collect()
    shuffle(spark)


def shuffle(spark):
    pairs = spark.sparkContext.parallelize(range(100), 2).map(lambda it: (it % 3, it))
    pairs.reduceByKey(lambda left, right: left + right).collect()


spark = SparkSession.builder.appName("warm").getOrCreate()
shuffle(spark)
spark.range(1000).groupBy((F.col("id") % 3).alias("key")).count().collect()
spark.stop()

spark = SparkSession.builder.appName("warm").master("local[2]").getOrCreate()
for name in EXECUTOR:
    spark._jvm.java.lang.Class.forName(name)
work(spark)
spark.stop()
print("warm", flush=True)
