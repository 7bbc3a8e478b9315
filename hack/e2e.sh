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
cd "$root"

# What cannot be done to somebody else's cluster, and why.
needs_our_node=(
    # Its node is lost.
    operators::a_driver_on_a_node_that_does_not_answer_is_not_doubled
    # The image of this checkout is put on the node, and CustomResourceDefinitions are removed with
    # all that is of them.
    installed::the_operator_that_install_prints_runs_as_a_restricted_pod_and_goes_without_a_trace
    documents::every_command_about_installing_does_what_it_says
    # They are about hack/kubernetes.
    documents::every_command_about_the_real_kubernetes_for_tests_does_what_it_says
)
long_tests() { cargo test --workspace --test e2e -- --test-threads=1 "$@"; }

known=$(long_tests --list)
for name in "${needs_our_node[@]}"; do
    grep -qxF "$name: test" <<<"$known" || {
        echo "windlass: hack/e2e.sh lists $name, which is no test: correct the list" >&2
        exit 1
    }
done

if [ -n "${WINDLASS_TEST_KUBECONFIG:-}" ]; then
    echo "==> left out, since $WINDLASS_TEST_KUBECONFIG is not the cluster of hack/kubernetes:" >&2
    for name in "${needs_our_node[@]}"; do
        echo "    $name" >&2
        set -- "$@" --skip "$name"
    done
else
    binary=$(hack/static.sh)
    image=$("$binary" install | sed -nE 's/^ *image: *"?([^"]+)"?$/\1/p')
    trap '"$root/hack/kubernetes/down"' EXIT
    WINDLASS_TEST_KUBECONFIG=$(hack/kubernetes/up)
    export WINDLASS_TEST_KUBECONFIG
    hack/kubernetes/image "$image" "$binary"
fi
long_tests "$@"
