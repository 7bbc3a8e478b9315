#!/usr/bin/env bash
# Runs the long tests, on embedded clusters and on a real Kubernetes, which is started before, unless
# hack/prepare-e2e.sh has done so, and stopped after them:
#   hack/e2e.sh [ARGUMENT OF THE TESTS...]
#
# Those of Kubernetes, of which there is one, run after one another, and so do those of clusters, and
# those of the API server alone; the three rows run beside each other, since tests wait as often as
# they work. A row goes on when another one has failed.
#
# WINDLASS_TEST_KUBECONFIG names the kubeconfig of another Kubernetes instead, which is left as it
# is but for Windlass's own objects. Its nodes must see this machine's temporary folders and have
# the images apache/spark:VERSION.
#
#   hack/e2e.sh --apps
#
# runs what is left out of it instead, likewise: applications that people run on Windlass or beside it, and
# what takes long for what it shows.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

# What cannot be done to somebody else's cluster, and why.
needs_our_node=(
    # Its node is lost.
    kubernetes::operators::a_driver_on_a_node_that_does_not_answer_is_not_doubled
    # The image of this checkout is put on the node, and CustomResourceDefinitions are removed with
    # all that is of them.
    kubernetes::installed::the_operator_that_install_prints_runs_as_a_restricted_pod_and_goes_without_a_trace
    kubernetes::installed::virtual_clusters_are_judged_when_they_are_written_and_set_up_by_an_operator_in_a_pod
    kubernetes::growth::no_row_is_lost_while_kubernetes_lets_volumes_grow_and_the_operator_is_killed
    kubernetes::shares::two_classes_of_shares_have_two_servers_and_two_pods_see_what_each_other_writes
    kubernetes::documents::every_command_about_installing_does_what_it_says
    # They are about hack/kubernetes.
    kubernetes::documents::every_command_about_the_real_kubernetes_for_tests_does_what_it_says
)
# What needs neither a node nor a controller: the API server under kills and power cuts, and beside
# a real one.
apart=(
    power::
    no_acknowledged_write_is_lost
    the_embedded_api_answers_as_a_real_one
)
# What runs with --apps, on embedded clusters and on Kubernetes.
apps=(
    airflow::
    buckets::
    catalog::
    connect::embedded
    executor_fields::
    helm::
    history::a_history_server_shows_what_a_job_has_written_on_a_claim
    history::a_log_whose_pod_was_gone_before_it_was_read_says_that_its_end_may_be_missing
    warm::
)
apps_on_kubernetes=(
    autoscale::kubernetes
    connect::kubernetes
    installed::virtual_clusters
    kubernetes::documents
    kubernetes::growth
    kubernetes::shares
)
skip=()
long_tests() { cargo test --workspace --no-fail-fast --test e2e -- "$@"; }

# What each row has said, by its name.
said=$(mktemp -d)
declare -A rows=()
is_ours=true
[ -z "${WINDLASS_TEST_KUBECONFIG:-}" ] || is_ours=false
end_all() {
    local row
    for row in "${rows[@]}"; do kill -- "-$row" 2>/dev/null || true; done
    ! $is_ours || "$root/hack/kubernetes/down"
    rm -rf "$said"
}
trap end_all EXIT

known=$(long_tests --list)
for name in "${needs_our_node[@]}"; do
    grep -qxF "$name: test" <<<"$known" || {
        echo "windlass: hack/e2e.sh lists $name, which is no test: correct the list" >&2
        exit 1
    }
done
for name in "${apart[@]}" "${apps[@]}" "${apps_on_kubernetes[@]}"; do
    grep -qF "$name" <<<"$known" || {
        echo "windlass: hack/e2e.sh lists $name, which no test has in its name: correct the list" >&2
        exit 1
    }
done

start_kubernetes() {
    local binary image
    if ! $is_ours; then
        echo "==> left out, since $WINDLASS_TEST_KUBECONFIG is not the cluster of hack/kubernetes:" >&2
        for name in "${needs_our_node[@]}"; do
            echo "    $name" >&2
            skip+=(--skip "$name")
        done
        return
    fi
    binary=$(hack/static.sh)
    image=$("$binary" install | sed -nE 's/^ *image: *"?([^"]+)"?$/\1/p')
    hack/kubernetes/warm "$binary"
    WINDLASS_TEST_KUBECONFIG=$(hack/kubernetes/up)
    export WINDLASS_TEST_KUBECONFIG
    hack/kubernetes/image "$image" "$binary"
}

if [ $# != 0 ] && [ "$1" != --apps ]; then
    start_kubernetes
    long_tests --test-threads=1 "${skip[@]}" "$@"
    exit
fi
# Each row in a process group of its own, which can be ended as a whole.
start_row() { # name, then what the tests have in their names...
    set -m
    (long_tests --test-threads=1 "${@:2}" 2>&1 | tee "$said/$1" | sed -u "s/^/[$1] /" >&2) &
    rows[$1]=$!
    set +m
}
start_kubernetes
# The row of Kubernetes is the longest.
if [ $# = 0 ]; then
    others=()
    for name in "${apps_on_kubernetes[@]}"; do others+=(--skip "$name"); done
    start_row kubernetes kubernetes:: "${skip[@]}" "${others[@]}"
    embedded=(--skip kubernetes::)
    for name in "${apart[@]}" "${apps[@]}"; do embedded+=(--skip "$name"); done
    start_row embedded "${embedded[@]}"
    start_row apiserver "${apart[@]}"
else
    start_row kubernetes "${skip[@]}" "${apps_on_kubernetes[@]}"
    start_row embedded --skip kubernetes:: "${apps[@]}"
fi
failed=()
for name in "${!rows[@]}"; do
    wait "${rows[$name]}" || failed+=("$name")
done
rows=()
[ ${#failed[@]} != 0 ] || exit 0
# What was said about a failure may lie thousands of lines back, among what other rows said.
for row in "${failed[@]}"; do
    sed -n '/^failures:$/,/^test result:/p' "$said/$row" | tail -n 200 | sed "s/^/[$row] /" >&2
done
printf 'windlass: the row %s failed; what it said is above, its failures once more at the end\n' "${failed[@]}" >&2
exit 1
