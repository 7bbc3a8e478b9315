#!/usr/bin/env bash
# Makes everything that `make e2e` needs on this machine, and starts its Kubernetes:
#
#   hack/prepare-e2e.sh SPARK-VERSION...
#
# Without Kubernetes where WINDLASS_TEST_KUBECONFIG names one.
#
# Three things go on beside each other, since each has always something to fetch or to wait for while
# another one has something to compute: what is compiled from Go, one after the other, since programs
# that are compiled at the same time compile what they share twice; what is compiled from Rust; and
# all else. Kubernetes starts while the tests are compiled.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=(--kubectl --promtool --jdk --registry --clients "$@")
jobs=()
is_ours=true
[ -z "${WINDLASS_TEST_KUBECONFIG:-}" ] || is_ours=false
stop() {
    local status=$? job
    for job in "${jobs[@]}"; do kill -- "-$job" 2>/dev/null || true; done
    # Whoever runs the tests stops it; without tests nobody would.
    [ "$status" = 0 ] || ! $is_ours || hack/kubernetes/down || true
}
trap stop EXIT
# Each job in a process group of its own, which can be ended as a whole.
beside() { # name command...
    set -m
    "${@:2}" > >(sed -u "s/^/[$1] /" >&2) 2>&1 &
    jobs+=($!)
    set +m
}
from_go() {
    ! $is_ours || hack/kubernetes/build
    hack/informer.sh >/dev/null
}
start() {
    local windlass="${CARGO_TARGET_DIR:-target}/debug/windlass"
    "$windlass" warm "$@"
    $is_ours || return 0
    # They take turns with what builds it.
    hack/kubernetes/warm "$windlass"
    hack/kubernetes/up >/dev/null
}

# Packages first: cargo needs a linker.
hack/setup.sh --packages "${wanted[@]}"
beside go from_go
beside setup hack/setup.sh "${wanted[@]}"
setup=$!
cargo build --workspace --bins
wait "$setup"
beside start start "$@"
cargo test --workspace --no-run --test e2e
for job in "${jobs[@]}"; do wait "$job"; done
jobs=()
