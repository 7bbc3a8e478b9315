#!/bin/bash
# Entry point of Windlass's Spark containers: the roles "driver" and "executor" that Spark's
# Kubernetes mode asks for; any other command line runs as it is.
set -e

if [ -z "$PYSPARK_PYTHON" ] && [ -n "$WINDLASS_IMAGE_PYTHON" ]; then
  export PYSPARK_PYTHON="$WINDLASS_IMAGE_PYTHON"
fi
if [ -z "$PYSPARK_DRIVER_PYTHON" ] && [ -n "$PYSPARK_PYTHON" ]; then
  export PYSPARK_DRIVER_PYTHON="$PYSPARK_PYTHON"
fi

java_program=java
if [ -n "$JAVA_HOME" ]; then
  java_program="$JAVA_HOME/bin/java"
fi

# Everything the image and the user put on the class path, in the order Spark's images use.
classpath="${SPARK_CLASSPATH:+$SPARK_CLASSPATH:}$SPARK_HOME/jars/*"
if [ -n "$SPARK_EXTRA_CLASSPATH" ]; then
  classpath="$SPARK_EXTRA_CLASSPATH:$classpath"
fi
if [ -n "$HADOOP_CONF_DIR" ]; then
  classpath="$HADOOP_CONF_DIR:$classpath"
fi
if [ -n "$SPARK_CONF_DIR" ]; then
  classpath="$SPARK_CONF_DIR:$classpath"
fi
classpath="$classpath:$PWD"

case "$1" in
  driver)
    shift
    master=()
    # Where the API's port 443 could not be bound, drivers must be told the port that was.
    if [ -n "$WINDLASS_KUBERNETES_MASTER" ]; then
      master=(--conf "spark.kubernetes.driver.master=$WINDLASS_KUBERNETES_MASTER")
    fi
    exec "$SPARK_HOME/bin/spark-submit" \
      --conf "spark.driver.bindAddress=$SPARK_DRIVER_BIND_ADDRESS" \
      --conf "spark.executorEnv.SPARK_DRIVER_POD_IP=$SPARK_DRIVER_BIND_ADDRESS" \
      "${master[@]}" \
      --deploy-mode client "$@"
    ;;
  executor)
    shift
    # SPARK_JAVA_OPT_0, _1, ... _10: one option per variable, whatever characters it holds.
    options=()
    index=0
    present="${!SPARK_JAVA_OPT_@}"
    remaining=$(set -- $present; echo $#)
    while [ "$remaining" -gt 0 ] && [ "$index" -lt 100000 ]; do
      name="SPARK_JAVA_OPT_$index"
      if [ -n "${!name+set}" ]; then
        options+=("${!name}")
        remaining=$((remaining - 1))
      fi
      index=$((index + 1))
    done
    exec "$java_program" "${options[@]}" \
      "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" \
      -cp "$classpath" \
      org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
      --driver-url "$SPARK_DRIVER_URL" \
      --executor-id "$SPARK_EXECUTOR_ID" \
      --cores "$SPARK_EXECUTOR_CORES" \
      --app-id "$SPARK_APPLICATION_ID" \
      --hostname "$SPARK_EXECUTOR_POD_IP" \
      --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" \
      --podName "$SPARK_EXECUTOR_POD_NAME"
    ;;
  "")
    exec /bin/bash
    ;;
  *)
    exec "$@"
    ;;
esac
