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

# An archive of Spark's classes (class data sharing) spares the JVM a third of its start. A JVM makes
# one only of jars, and takes classes from it only where the same jars come first on its class path;
# the folder of settings comes after them then, which no jar of Spark has a file for. The file
# beside the archive says which jars. Whatever does not fit, the JVM starts without. Where the JVM
# may put the archive anywhere, it rewrites all of it, in memory of each process.
archive="$WINDLASS_CLASS_ARCHIVE"
[ -z "$archive" ] || [ -n "$WINDLASS_MAKE_CLASS_ARCHIVE" ] || [ -r "$archive" ] || archive=
shared=(-XX:+UnlockDiagnosticVMOptions -XX:ArchiveRelocationMode=0 "-XX:SharedArchiveFile=$archive")
spark_jars="$SPARK_HOME/jars/*"
if [ -n "$archive" ] && [ -r "$archive.classpath" ]; then
  spark_jars="$(cat "$archive.classpath")"
fi

# Everything the image and the user put on the class path, in the order Spark's images use.
classpath="${SPARK_CLASSPATH:+$SPARK_CLASSPATH:}$spark_jars"
if [ -n "$SPARK_EXTRA_CLASSPATH" ]; then
  classpath="$SPARK_EXTRA_CLASSPATH:$classpath"
fi
if [ -n "$HADOOP_CONF_DIR" ]; then
  classpath="$HADOOP_CONF_DIR:$classpath"
fi
if [ -n "$SPARK_CONF_DIR" ] && [ -z "$archive" ]; then
  classpath="$SPARK_CONF_DIR:$classpath"
elif [ -n "$SPARK_CONF_DIR" ]; then
  classpath="$classpath:$SPARK_CONF_DIR"
fi
classpath="$classpath:$PWD"

# What spark-submit would start, with the archive, in the array `command`; empty where that cannot
# be told. Spark's launcher prints a NUL and a line's end, and then each word and a NUL.
find_driver_command() {
  local words jars conf
  . "$SPARK_HOME/bin/load-spark-env.sh"
  command=()
  mapfile -d '' -t words < <(
    "$java_program" -Xmx128m -XX:TieredStopAtLevel=1 $SPARK_LAUNCHER_OPTS -cp "$SPARK_HOME/jars/*" \
      org.apache.spark.launcher.Main org.apache.spark.deploy.SparkSubmit "$@"
  )
  [ "${#words[@]}" -gt 3 ] && [ "${words[2]}" = -cp ] || return 0
  # A folder that exists has a slash at its end there.
  conf="${SPARK_CONF_DIR%/}"
  jars="${words[3]#"$conf/:"}"
  jars="${jars#"$conf:"}"
  command=("${words[1]#$'\n'}")
  if [ -n "$WINDLASS_MAKE_CLASS_ARCHIVE" ]; then
    echo "$jars" >"$archive.classpath"
    command+=("-XX:ArchiveClassesAtExit=$archive" -cp "$jars")
  else
    [ "$jars" = "${words[3]}" ] || jars="$jars:$conf/"
    command+=("${shared[@]}" -cp "$jars")
  fi
  command+=("${words[@]:4}")
}

# A container's first process gets no signal that it has no handler for, and a shell has none: a
# driver that is deleted before its JVM is there would live until its grace is over. The shell ends by
# this one, and where Spark's own scripts start the JVM they are not the first process.
trap 'exit 143' TERM
run_as_child() {
  local code=0
  "$@" &
  trap 'kill -TERM "$!"' TERM
  # A signal ends the wait, not the child.
  wait "$!" || code=$?
  while kill -0 "$!" 2>/dev/null; do
    code=0
    wait "$!" || code=$?
  done
  exit "$code"
}

case "$1" in
  driver)
    shift
    master=()
    # Where the API's port 443 could not be bound, drivers must be told the port that was.
    if [ -n "$WINDLASS_KUBERNETES_MASTER" ]; then
      master=(--conf "spark.kubernetes.driver.master=$WINDLASS_KUBERNETES_MASTER")
    fi
    # Where pods share the machine's network, a Spark Connect server may not take its port on all
    # addresses; where each has its own, it has to, since forwarded ports lead to the loopback.
    connect=()
    if [ -n "$WINDLASS_SHARED_NETWORK" ] && [ -n "$SPARK_DRIVER_BIND_ADDRESS" ]; then
      connect=(--conf "spark.connect.grpc.binding.address=$SPARK_DRIVER_BIND_ADDRESS")
    fi
    set -- \
      --conf "spark.driver.bindAddress=$SPARK_DRIVER_BIND_ADDRESS" \
      --conf "spark.executorEnv.SPARK_DRIVER_POD_IP=$SPARK_DRIVER_BIND_ADDRESS" \
      "${master[@]}" \
      "${connect[@]}" \
      --deploy-mode client "$@"
    if [ -n "$archive" ]; then
      # As bin/spark-submit has it: Python's hashes must be the same in all processes of a job.
      export PYTHONHASHSEED=0
      find_driver_command "$@"
      [ "${#command[@]}" = 0 ] || exec "${command[@]}"
    fi
    run_as_child "$SPARK_HOME/bin/spark-submit" "$@"
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
    [ -n "$archive" ] || shared=()
    exec "$java_program" "${shared[@]}" "${options[@]}" \
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
