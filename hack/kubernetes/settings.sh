# shellcheck shell=bash
# What every script of this folder knows: versions, places, addresses, and how to speak. Sourced.
set -euo pipefail
umask 022
export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/go/bin

tool=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$tool/../.." && pwd)

# Versions. Kubernetes's and etcd's are those of go/kubernetes/go.mod, CoreDNS's of go/coredns. With
# WINDLASS_KUBERNETES_MINOR=1.20 it is the oldest Kubernetes that Windlass is tried on instead: that of
# go/floor/go.mod, with the CoreDNS of go/floor-coredns. See floor.sh.
floor=1.20
version_of() { sed -nE 's/^\tk8s.io\/kubernetes (v[0-9.]+)( .*)?$/\1/p' "$tool/go/$1/go.mod"; }
spark_versions=(3.5.9 4.3.0)

# Places. The state is thrown away by each start; binaries and containerd's store are kept.
cache="${WINDLASS_CACHE:-${XDG_CACHE_HOME:-${HOME:-$(echo ~)}/.cache}/windlass}"
home=$cache/kubernetes
store=$home/containerd
state=$home/state
kubeconfig=$home/kubeconfig

# One octet pair of a range that is reserved for tests of networks, so that nobody's own network
# is in it: the first quarter for pods, the third for Services, the end for the node.
network=198.19
pods_range=$network.0.0/18
services_range=$network.128.0/18
api_service=$network.128.1
dns_service=$network.128.10
host_address=$network.255.1
node_address=$network.255.2

# An image of our own, of a binary that build.sh builds, as is that of CoreDNS.
pause_image=windlass.local/pause:1

# Names that are the machine's, so that there is one such cluster per machine.
node_name=windlass-node
host_link=windlass-k8s
cgroup=windlass-kubernetes

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
fail() {
    printf 'windlass: %s\n' "$@" >&2
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

# Which Kubernetes this is about.
newest=$(version_of kubernetes | sed -E 's/^v(.*)\..*/\1/')
use_minor() { # minor
    minor=$1
    case "$minor" in
        "$newest")
            kubernetes_version=$(version_of kubernetes)
            binaries=$home/bin
            dns_image=windlass.local/coredns:1
            ;;
        "$floor")
            kubernetes_version=$(version_of floor)
            binaries=$home/bin-$floor
            dns_image=windlass.local/coredns:$floor
            ;;
        *) fail "WINDLASS_KUBERNETES_MINOR=$minor: hack/kubernetes has $newest and $floor" ;;
    esac
}
is_floor() { [ "$minor" = "$floor" ]; }
use_minor "${WINDLASS_KUBERNETES_MINOR:-$newest}"

# Waits until a command succeeds:  wait_for SECONDS "what for" COMMAND...
wait_for() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] ||
            fail "$what: not so in time; see the logs in $state/log" "the last answer was: $("$@" 2>&1 | tail -n 3)"
        sleep 0.2
    done
}

# The process outside the node that the node lives and dies with, if it runs. A number alone may by
# now be somebody else's process: ours carries the state's path in its environment.
node_keeper() {
    local pid
    pid=$(cat "$state/keeper" 2>/dev/null) && [ -n "$pid" ] &&
        tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qxF "WINDLASS_KUBERNETES=$state" &&
        echo "$pid"
}
# The node's first process.
node_pid() {
    local keeper children
    keeper=$(node_keeper) && children=$(cat "/proc/$keeper/task/$keeper/children" 2>/dev/null) &&
        [ -n "$children" ] && echo "${children%% *}"
}

# What stands before a command that is to run on the node, as the array `on`.
node_prefix() {
    local pid
    pid=$(node_pid) || fail "the node does not run: start it with hack/kubernetes/up"
    on=(nsenter --target "$pid" --mount --uts --ipc --net --pid --)
}
# Runs a command on the node.
on_node() {
    local on
    node_prefix
    "${on[@]}" "$@"
}

# Starts a service of the node in the background; what ran under that name is stopped before.
start_service() { # name command...
    local name=$1 on
    shift
    stop_service "$name"
    node_prefix
    # No function in between: its shell would keep our output open as long as the service runs.
    # shellcheck disable=SC2016 # for the inner shell
    setsid "${on[@]}" sh -c 'echo $$ >"$0"; exec "$@"' "$state/pid/$name" "$@" \
        </dev/null >>"$state/log/$name.log" 2>&1 9>&- &
    disown
    service_has_started() { [ -s "$state/pid/$name" ]; }
    wait_for 30 "service $name starting" service_has_started
}
service_runs() { # name
    [ -s "$state/pid/$1" ] && on_node kill -0 "$(cat "$state/pid/$1")" 2>/dev/null
}
stop_service() { # name [signal]
    service_runs "$1" || return 0
    on_node kill "-${2:-TERM}" "$(cat "$state/pid/$1")"
    service_has_stopped() { ! service_runs "$1"; }
    wait_for 60 "service $1 stopping" service_has_stopped "$1"
    rm -f "$state/pid/$1"
}

kubectl_admin() { kubectl --kubeconfig "$kubeconfig" "$@"; }
containers() { on_node ctr --address "$state/containerd.sock" --namespace k8s.io "$@"; }

# Whoever changes something takes turns with others who do.
take_turns() {
    mkdir -p "$home" 2>/dev/null && [ -w "$home" ] ||
        fail "cannot write to $home: set WINDLASS_CACHE to a folder you may write to"
    exec 9>"$home/.lock"
    flock 9
}
