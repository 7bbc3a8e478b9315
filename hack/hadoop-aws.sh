#!/usr/bin/env bash
# Makes sure that Hadoop's file system for S3 is there, for the tests that write to buckets:
#
#   hack/hadoop-aws.sh [VERSION-OF-HADOOP...]
#
# Without versions, those of the Hadoops that are in Spark 3.5 (3.3.4) and 4.3 (3.5.0). Of Amazon's library for the
# second one only what that file system needs is fetched (13 MB): the bundle that it names has clients of all
# services (some 600 MB).
set -euo pipefail
here=$(dirname "$0")
sdk=2.35.4
modules=(
    annotations apache-client arns auth aws-core aws-query-protocol aws-xml-protocol checksums checksums-spi crt-core
    endpoints-spi http-auth http-auth-aws http-auth-aws-eventstream http-auth-spi http-client-spi identity-spi
    json-utils metrics-spi netty-nio-client profiles protocol-core regions retries retries-spi s3 s3-transfer-manager
    sdk-core sts third-party-jackson-core utils utils-lite
)
artifacts=()
for module in "${modules[@]}"; do
    artifacts+=("software.amazon.awssdk:$module:$sdk:alone")
done
[ $# != 0 ] || set -- 3.3.4 3.5.0
for version in "$@"; do
    case "$version" in
        3.3.4)
            "$here/jars.sh" hadoop-aws 3.3.4 org.apache.hadoop:hadoop-aws:3.3.4:alone \
                com.amazonaws:aws-java-sdk-bundle:1.12.262:alone
            ;;
        3.5.0)
            "$here/jars.sh" hadoop-aws-3.5 3.5.0 org.apache.hadoop:hadoop-aws:3.5.0:alone \
                software.amazon.s3.analyticsaccelerator:analyticsaccelerator-s3:1.3.1:alone \
                software.amazon.eventstream:eventstream:1.0.1:alone \
                org.reactivestreams:reactive-streams:1.0.4:alone "${artifacts[@]}"
            ;;
        *)
            echo "windlass: hack/hadoop-aws.sh: unknown version $version: give 3.3.4 or 3.5.0" >&2
            exit 2
            ;;
    esac
done
