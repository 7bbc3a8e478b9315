# shellcheck shell=bash
# Builds the binaries that Debian does not have, through their Go modules. Sourced.

# What a binary is built from, so that it is built again only when that changed.
recipe() { # folder
    cat "$tool/build.sh" "$tool/go/$1"/* | sha256sum | cut -d ' ' -f 1
}

build_binary() { # folder package name
    local folder=$1 package=$2 name=$3 key
    key=$(recipe "$folder")
    [ "$(cat "$binaries/$name.recipe" 2>/dev/null)" != "$key" ] || [ ! -x "$binaries/$name" ] || return 0
    has go || fail "Go 1.26 or newer is missing on this machine: hack/kubernetes builds $name with it"
    say "building $name"
    mkdir -p "$binaries"
    local version=$kubernetes_version flags="-s -w" module
    for module in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        flags+=" -X $module.gitVersion=$version -X $module.gitTreeState=clean"
        flags+=" -X $module.gitMajor=1 -X $module.gitMinor=$(cut -d . -f 2 <<<"$version")"
    done
    (
        cd "$tool/go/$folder"
        CGO_ENABLED=0 GOFLAGS="${GOFLAGS:-} -mod=readonly -trimpath -buildvcs=false" \
            go build -ldflags "$flags" -o "$binaries/$name.new" "$package"
    ) >&2 || fail "could not build $name from $package"
    mv "$binaries/$name.new" "$binaries/$name"
    echo "$key" >"$binaries/$name.recipe"
}

build_binaries() {
    local name
    for name in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy; do
        build_binary kubernetes "k8s.io/kubernetes/cmd/$name" "$name"
    done
    build_binary kubernetes go.etcd.io/etcd/server/v3 etcd
    build_binary coredns . coredns
    build_binary pause . pause
}
