# shellcheck shell=bash
# Builds the floor, the oldest Kubernetes that Windlass is tried on. Sourced after build.sh where it is
# asked for, and instead of a part of it.
#
# Its binaries are apart from the current ones. etcd and the pause image's program are the same; a
# CoreDNS of today finds no endpoints there, so an older one is built. Compiler and modules come from
# where those of the current Kubernetes do.

build_binaries() {
    local name key folder=$home/floor
    mkdir -p "$binaries"
    for name in etcd pause; do
        binaries=$home/bin build_shared "$name"
        ln -f "$home/bin/$name" "$home/bin/$name.recipe" "$binaries/"
    done
    build_binary floor-coredns . coredns
    key=$(recipe floor)-$(sha256sum <"$tool/floor.sh" | cut -d ' ' -f 1)
    for name in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy; do
        [ "$(cat "$binaries/$name.recipe" 2>/dev/null)" != "$key" ] || [ ! -x "$binaries/$name" ] || continue
        [ -f "$folder/complete" ] || gather_floor "$folder"
        say "building $name $kubernetes_version"
        build_floor "$folder" "$name"
        echo "$key" >"$binaries/$name.recipe"
    done
    rm -rf "$folder"
}
build_shared() { # name
    case "$1" in
        etcd) build_binary kubernetes go.etcd.io/etcd/server/v3 etcd ;;
        pause) build_binary pause . pause ;;
    esac
}

# Gathers the sources. Kubernetes of then makes one file of its own when it is built, from marks in
# its types, and no module contains it: without, a server has no OpenAPI, and applies nothing.
gather_floor() { # folder
    local folder=$1 generated=k8s.io/kubernetes/pkg/generated/openapi packages
    say "gathering the sources of Kubernetes $kubernetes_version"
    rm -rf "$folder"
    mkdir -p "$folder/path"
    cp "$tool"/go/floor/go.{mod,sum} "$folder/"
    {
        # The generator knows no modules.
        ln -s ../vendor "$folder/path/src"
        (cd "$folder" && go mod vendor) &&
            (cd "$folder" && GOFLAGS="${GOFLAGS:-} -mod=vendor" \
                go build -o openapi-gen k8s.io/kube-openapi/cmd/openapi-gen) &&
            packages=$(cd "$folder/vendor" && marked_packages | paste -sd ,) &&
            (cd "$folder/vendor" && GOFLAGS='' GO111MODULE=off GOPATH=$folder/path "$folder/openapi-gen" \
                --go-header-file /dev/null --input-dirs "$packages" --output-base "$folder/out" \
                --output-package "$generated" --output-file-base zz_generated.openapi \
                --report-filename "$folder/violations") &&
            cp "$folder/out/$generated/zz_generated.openapi.go" "$folder/vendor/$generated/" &&
            # It takes for null whatever Go's reflect.Zero equals: with the Go of then nothing that a
            # client can send, with one of today empty strings, too. Kubernetes has dropped that since.
            sed -i 's/data == nil || reflect.DeepEqual(reflect.Zero(.*)) {/data == nil {/' \
                "$folder/vendor/k8s.io/kube-openapi/pkg/validation/validate/type.go"
    } >&2 || fail "could not gather the sources of Kubernetes $kubernetes_version"
    touch "$folder/complete"
}
marked_packages() {
    grep -rl --include='*.go' '+k8s:openapi-gen=true' k8s.io | xargs -n 1 dirname | sort -u |
        grep -v -e '^k8s.io/kube-openapi/' -e '^k8s.io/gengo/'
}
build_floor() { # folder name
    local flags="-s -w" module
    for module in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        flags+=" -X $module.gitVersion=$kubernetes_version -X $module.gitTreeState=clean"
        flags+=" -X $module.gitMajor=1 -X $module.gitMinor=${minor#1.}"
    done
    (
        cd "$1"
        CGO_ENABLED=0 GOFLAGS="${GOFLAGS:-} -mod=vendor -trimpath -buildvcs=false" \
            go build -ldflags "$flags" -o "$binaries/$2.new" "k8s.io/kubernetes/cmd/$2"
    ) >&2 || fail "could not build $2 $kubernetes_version"
    mv "$binaries/$2.new" "$binaries/$2"
}
