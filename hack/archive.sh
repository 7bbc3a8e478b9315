# shellcheck shell=bash
# Writes images as archives that `ctr image import`, `docker load`, `podman load` and skopeo
# (docker-archive:FILE) take. Needs no Docker. Sourced.

# An image of layers:  write_image NAME '{"Entrypoint": ...}' LAYER.tar... >ARCHIVE
write_image() {
    local image=$1 config=$2 folder layer digest digests=() names=()
    shift 2
    # Beside the layers, so that they need not be copied.
    folder=$(mktemp -d "$(dirname "$1")/image.XXXXXX")
    for layer in "$@"; do
        digest=$(sha256sum "$layer" | cut -d ' ' -f 1)
        ln "$layer" "$folder/$digest.tar" 2>/dev/null || cp "$layer" "$folder/$digest.tar"
        digests+=("\"sha256:$digest\"") names+=("\"$digest.tar\"")
    done
    local IFS=,
    printf '{"architecture":"%s","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":[%s]}}' \
        "$(go_architecture)" "$config" "${digests[*]}" >"$folder/config.json"
    printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":[%s]}]' "$image" "${names[*]}" >"$folder/manifest.json"
    tar -C "$folder" -cf - .
    rm -rf "$folder"
}
go_architecture() {
    case "$(uname -m)" in
        x86_64) echo amd64 ;;
        aarch64) echo arm64 ;;
        *) uname -m ;;
    esac
}

# An image that is one static binary, and starts it as nobody in particular:
#   write_binary_image NAME BINARY >ARCHIVE
write_binary_image() {
    local image=$1 binary=$2 scratch name
    # A program that needs libraries would start here and fail there, with "no such file".
    is_static "$binary" || {
        echo "windlass: $binary is not static: it needs the libraries of the machine it runs on:" \
            "build it as hack/static.sh does, for a musl target, or with CGO_ENABLED=0" >&2
        return 1
    }
    name=$(basename "$binary")
    scratch=$(mktemp -d)
    tar -C "$(dirname "$binary")" --owner 0 --group 0 --mode 755 --mtime @0 -cf "$scratch/layer.tar" "$name"
    write_image "$image" "{\"Entrypoint\":[\"/$name\"],\"User\":\"65532:65532\"}" "$scratch/layer.tar"
    rm -rf "$scratch"
}
is_static() { # binary
    local answer
    answer=$(LC_ALL=C ldd "$1" 2>&1) || true
    grep -qE 'statically linked|not a dynamic executable' <<<"$answer"
}
