#!/usr/bin/env bash
# Makes sure that Kafka is there, for the image apache/kafka:4.3.1 on embedded clusters: the server, its programs
# without what they need for Kafka Connect alone, and what writes its log.
set -euo pipefail
exec "$(dirname "$0")/jars.sh" kafka 4.3.1 org.apache.kafka:kafka_2.13:4.3.1 org.apache.kafka:kafka-tools:4.3.1:alone \
    org.apache.logging.log4j:log4j-slf4j-impl:2.25.4
