"""An application that fails before Airflow looks, one that fails while its log is shown, and a
sensor that looks at the second one."""

from airflow.providers.cncf.kubernetes.operators.spark_kubernetes import SparkKubernetesOperator
from airflow.providers.cncf.kubernetes.sensors.spark_kubernetes import SparkKubernetesSensor
from airflow.sdk import DAG


def application(file, volumes=(), mounts=()):
    return {
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "spec": {
            "type": "Python",
            "mode": "cluster",
            "sparkVersion": "4.3.0",
            "image": "apache/spark:4.3.0",
            "mainApplicationFile": file,
            "volumes": list(volumes),
            # A JVM that lives for seconds spends a third of its time on optimizing.
            "sparkConf": {"spark.driver.defaultJavaOptions": "-XX:TieredStopAtLevel=1"},
            "driver": {
                "memory": "512m",
                "serviceAccount": "spark",
                "volumeMounts": list(mounts),
            },
            "executor": {"instances": 1, "memory": "512m"},
        },
    }


with DAG("failures", schedule=None):
    SparkKubernetesOperator(
        task_id="missing",
        namespace="default",
        template_spec=application("local:///nowhere/job.py"),
    )
    shown = SparkKubernetesOperator(
        task_id="shown",
        namespace="default",
        template_spec=application(
            "local:///etc/job/job.py",
            volumes=[{"name": "job", "configMap": {"name": "job"}}],
            mounts=[{"name": "job", "mountPath": "/etc/job"}],
        ),
        random_name_suffix=False,
        delete_on_termination=False,
    )
    shown >> SparkKubernetesSensor(
        task_id="look",
        application_name="shown",
        namespace="default",
        attach_log=True,
        poke_interval=1,
        trigger_rule="all_done",
    )
