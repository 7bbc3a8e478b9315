"""Runs examples/spark-pi.yaml as a task of Airflow, which shows the driver's log and ends as it does."""

from pathlib import Path

from airflow.providers.cncf.kubernetes.operators.spark_kubernetes import SparkKubernetesOperator
from airflow.sdk import DAG

with DAG(
    "spark_pi",
    schedule=None,
    template_searchpath=str(Path(__file__).resolve().parents[1]),
):
    SparkKubernetesOperator(
        task_id="pi",
        namespace="default",
        application_file="spark-pi.yaml",
    )
