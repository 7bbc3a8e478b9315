#!/bin/sh
# Records what Spark's own code makes of the fields of executors:
#   hack/record-executor-pods.sh 3.5.9 /path/to/pyspark [4.3.0 /path/to/pyspark ...]
# Needs a JDK and `windlass` on the PATH.
set -eu
data=$(dirname "$0")/../crates/spark/testdata/executor
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
while [ $# -ge 2 ]; do
  version=$1 home=$2
  shift 2
  sed "s/VERSION/$version/" "$data/application.yaml" > "$work/application.yaml"
  windlass render -f "$work/application.yaml" -o json > "$work/objects.json"
  javac -nowarn -cp "$home/jars/*" -d "$work" "$data/ExecutorPod.java"
  java --add-opens=java.base/java.lang=ALL-UNNAMED -cp "$work:$home/jars/*" \
    ExecutorPod "$work/objects.json" 2>/dev/null | python3 -m json.tool > "$data/$version.json"
done
