#!/usr/bin/env bash
# The README's first command, after set-up and build: three real Spark jobs on the embedded cluster.
#   hack/demo.sh PATH-TO-WINDLASS
set -euo pipefail
windlass=$1
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mktemp -d "${TMPDIR:-/tmp}/windlass-demo.XXXXXX")
trap 'rm -rf "$folder"' EXIT

title() { printf '\n\033[1m%s\033[0m\n' "$*" >&2; }
expect() { # code command...
    local wanted=$1 code=0
    shift
    printf '$ %s\n' "windlass ${*:2}" >&2
    "$@" || code=$?
    [ "$code" = "$wanted" ] || { echo "demo: exit code $code, expected $wanted" >&2; exit 1; }
}

# Jobs this short end before the JVM's optimizing compiler pays off.
quick=()
for role in driver executor; do
    quick+=(--conf "spark.$role.defaultJavaOptions=-XX:TieredStopAtLevel=1")
done

start=$(date +%s)
title "1. A SparkApplication: Pi, with two executors"
expect 0 "$windlass" run "${quick[@]}" -f "$root/examples/spark-pi.yaml" | tee "$folder/pi.out"
grep -q 'Pi is roughly 3\.1' "$folder/pi.out" || { echo "demo: Pi was not printed" >&2; exit 1; }
pi=$(($(date +%s) - start))

title "2. A Python job without YAML: it loses an executor on the way, and heals"
cp "$root/examples/jobs/sales.py" "$folder/"
expect 0 "$windlass" run "${quick[@]}" "$folder/sales.py" --lose-an-executor

title "3. A job that fails, and why"
cp "$root/examples/jobs/broken.py" "$folder/"
expect 1 "$windlass" run "${quick[@]}" --executors 1 "$folder/broken.py"

title "Done: Pi took $pi s, everything $(($(date +%s) - start)) s."
