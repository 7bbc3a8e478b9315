#!/usr/bin/env bash
# Makes sure that Hadoop's file system for S3 is there, of the Hadoop that is in Spark 3.5, for the tests that write
# event logs into a bucket.
set -euo pipefail
exec "$(dirname "$0")/jars.sh" hadoop-aws 3.3.4 org.apache.hadoop:hadoop-aws:3.3.4:alone \
    com.amazonaws:aws-java-sdk-bundle:1.12.262:alone
