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
warming=
stop() {
    local each
    for each in $building $warming; do kill -- "-$each" 2>/dev/null || true; done
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
# A job that waits half of the time, beside a compiler that mostly has one crate to compile.
set -m
"${CARGO_TARGET_DIR:-target}/debug/windlass" warm "$@" &
warming=$!
set +m
cargo test --workspace --no-run --test e2e
wait "$warming"
warming=
wait "$building"
building=
