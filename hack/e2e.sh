#!/usr/bin/env bash
# Runs the long tests, on embedded clusters and on a real Kubernetes, which is started before and
# stopped after them:
#   hack/e2e.sh [ARGUMENT OF THE TESTS...]
#
# WINDLASS_TEST_KUBECONFIG names the kubeconfig of another Kubernetes instead, which is left as it
# is but for Windlass's own objects. Its nodes must see this machine's temporary folders and have
# the images apache/spark:VERSION.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

if [ -z "${WINDLASS_TEST_KUBECONFIG:-}" ]; then
    trap '"$root/hack/kubernetes/down"' EXIT
    WINDLASS_TEST_KUBECONFIG=$("$root/hack/kubernetes/up")
    export WINDLASS_TEST_KUBECONFIG
fi
cd "$root"
cargo test --workspace --test e2e -- --test-threads=1 "$@"
