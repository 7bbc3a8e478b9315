#!/usr/bin/env bash
# Makes sure that Cassandra is there, for the image cassandra:5.0 on embedded clusters.
set -euo pipefail
exec "$(dirname "$0")/jars.sh" cassandra 5.0.9 org.apache.cassandra:cassandra-all:5.0.9
