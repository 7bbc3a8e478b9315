"""A job that fails, to show what Windlass says about it."""

from pyspark.sql import SparkSession

spark = SparkSession.builder.appName("broken").getOrCreate()
price = spark.range(3).collect()[-1]["id"]
if price < 10:
    raise ValueError(f"the price {price} is below the minimum of 10")
