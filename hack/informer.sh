#!/usr/bin/env bash
# Prints the path of the program of crates/cli/tests/clients/go, which watches with the Kubernetes client
# for Go. It is built the first time, and again when what it needs has changed; that takes minutes.
#
#   "$(hack/informer.sh)" pods
set -euo pipefail

[ $# = 0 ] || {
    echo "windlass: hack/informer.sh takes no arguments" >&2
    exit 1
}
source=$(cd "$(dirname "$0")/../crates/cli/tests/clients/go" && pwd)
cache="${WINDLASS_CACHE:-${XDG_CACHE_HOME:-${HOME:-$(echo ~)}/.cache}/windlass}"
home="$cache/clients/go"
mkdir -p "$home"
exec 9>"$home/.lock"
flock 9
if ! cmp --quiet "$source/go.sum" "$home/.complete"; then
    go=$("$(dirname "$0")/go.sh")
    printf '\033[1m==>\033[0m building the program of the Kubernetes client for Go (once; takes minutes)\n' >&2
    # With the flags of hack/kubernetes, which has much of it compiled then.
    (cd "$source" && CGO_ENABLED=0 "$go" build -mod=readonly -trimpath -buildvcs=false -o "$home/informer" .) >&2
    cp "$source/go.sum" "$home/.complete"
fi
echo "$home/informer"
