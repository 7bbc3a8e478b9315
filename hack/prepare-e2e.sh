#!/usr/bin/env bash
# Makes everything that `make e2e` needs on this machine:
#
#   hack/prepare-e2e.sh SPARK-VERSION...
#
# Without Kubernetes where WINDLASS_TEST_KUBECONFIG names one.
#
# What is compiled from Go is compiled beside all else, since one of the two has always something to
# fetch while the other one has something to compile; and one after the other, since programs that are
# compiled at the same time compile what they share twice.
set -euo pipefail
cd "$(dirname "$0")/.."

building=
stop() {
    [ -z "$building" ] || kill -- "-$building" 2>/dev/null || true
}
trap stop EXIT
from_go() {
    [ -n "${WINDLASS_TEST_KUBECONFIG:-}" ] || hack/kubernetes/build
    hack/informer.sh >/dev/null
}
# In a process group of its own, which can be ended as a whole.
set -m
from_go > >(sed -u 's/^/[go] /' >&2) 2>&1 &
building=$!
set +m
hack/setup.sh --kubectl --promtool --jdk --registry --clients "$@"
cargo build --workspace --bins
"${CARGO_TARGET_DIR:-target}/debug/windlass" warm "$@"
cargo test --workspace --no-run --test e2e
wait "$building"
building=
