#!/usr/bin/env bash
# Makes sure that Cassandra is there, for the image cassandra:5.0 on embedded clusters: its jars, from Maven
# Central, each with the sum that hack/cassandra.sha256 has. Safe to run again and to interrupt.
#
#   hack/cassandra.sh
#
# They are fetched with the Ivy that is in every Spark; hack/setup.sh comes first.
set -euo pipefail

fail() {
    printf 'windlass: %s\n' "$@" >&2
    exit 1
}
version=5.0.9
sums=$(cd "$(dirname "$0")" && pwd)/cassandra.sha256
cache="${WINDLASS_CACHE:-${XDG_CACHE_HOME:-${HOME:-$(echo ~)}/.cache}/windlass}"
home=$cache/cassandra/$version
! [ -f "$home/.complete" ] || exit 0

ivy=$(find "$cache/spark/" -path '*/pyspark/jars/ivy-*.jar' 2>/dev/null | sort | tail -n 1)
[ -n "$ivy" ] || fail "there is no Spark in $cache/spark to fetch Cassandra with: run hack/setup.sh first"
rm -rf "$home" "$home.new"
mkdir -p "$home.new/lib"
java "-Divy.default.ivy.user.dir=$home.new/ivy" -jar "$ivy" -error \
    -dependency org.apache.cassandra cassandra-all "$version" -confs default \
    -retrieve "$home.new/lib/[artifact]-[revision](-[classifier]).[ext]" >/dev/null ||
    fail "could not fetch Cassandra"
rm -rf "$home.new/ivy"
(cd "$home.new/lib" && sha256sum --quiet -c "$sums") >&2 ||
    fail "what was fetched is not what hack/cassandra.sha256 says"
touch "$home.new/.complete"
mv "$home.new" "$home"
