#!/usr/bin/env bash
# Makes everything that `make e2e` needs on this machine. Kubernetes is compiled beside all else: one of
# the two has always something to fetch while the other one has something to compile.
#
#   hack/prepare-e2e.sh SPARK-VERSION...
#
# Without Kubernetes where WINDLASS_TEST_KUBECONFIG names one.
set -euo pipefail
cd "$(dirname "$0")/.."

building=
stop() {
    [ -z "$building" ] || kill -- "-$building" 2>/dev/null || true
}
trap stop EXIT
if [ -z "${WINDLASS_TEST_KUBECONFIG:-}" ]; then
    # In a process group of its own, which can be ended as a whole.
    set -m
    hack/kubernetes/build > >(sed -u 's/^/[kubernetes] /' >&2) 2>&1 &
    building=$!
    set +m
fi
make setup-all
cargo build --workspace --bins
"${CARGO_TARGET_DIR:-target}/debug/windlass" warm "$@"
cargo test --workspace --no-run --test e2e
[ -z "$building" ] || wait "$building"
building=
