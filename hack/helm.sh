#!/usr/bin/env bash
# Prints the path of Helm, which is built from its Go module the first time; that takes minutes.
#
#   "$(hack/helm.sh)" template deploy/chart
set -euo pipefail

version=v4.3.2

[ $# = 0 ] || {
    echo "windlass: hack/helm.sh takes no arguments" >&2
    exit 1
}
cache="${WINDLASS_CACHE:-${XDG_CACHE_HOME:-${HOME:-$(echo ~)}/.cache}/windlass}"
helm="$cache/helm/$version/helm"
mkdir -p "${helm%/*}"
exec 9>"${helm%/*}/.lock"
flock 9
if [ ! -x "$helm" ]; then
    go=$("$(dirname "$0")/go.sh")
    printf '\033[1m==>\033[0m building Helm %s (once; takes minutes)\n' "$version" >&2
    # With the flags of hack/kubernetes, which has much of it compiled then. The two steps make an
    # interrupted build one that is not there.
    GOBIN="${helm%/*}/new" CGO_ENABLED=0 "$go" install -trimpath -buildvcs=false \
        "helm.sh/helm/v4/cmd/helm@$version" >&2
    mv "${helm%/*}/new/helm" "$helm"
    rmdir "${helm%/*}/new"
fi
echo "$helm"
