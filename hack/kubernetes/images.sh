# shellcheck shell=bash
# Makes the images and puts them into containerd's store: there is no registry. Sourced.

# shellcheck source=SCRIPTDIR/../archive.sh
. "$repository/hack/archive.sh"

# Imports an image:  import_image NAME '{"Entrypoint": ...}' LAYER.tar...
import_image() {
    say "importing $1"
    write_image "$@" | import_archive
}
# An image that is one static binary:  import_binary NAME BINARY
import_binary() {
    say "importing $1"
    write_binary_image "$@" | import_archive
}
import_archive() {
    containers images import - >&2 || fail "containerd did not take the image"
}

# A small Debian with these packages, as the tar archive of a layer:
#   debian_layer FILE PACKAGE,... [FURTHER ARGUMENTS OF mmdebstrap...]
debian_layer() {
    local layer=$1 packages=$2 sources release
    shift 2
    [ -f "$layer" ] && return
    # The releases and mirrors that this machine itself uses.
    # shellcheck disable=SC2016 # apt's variables
    sources=$(apt-get indextargets --format '$(CREATED_BY) $(ORIGIN) deb $(REPO_URI) $(RELEASE) $(COMPONENT)' |
        sed -nE 's/^Packages Debian (deb .* main)$/\1/p' | sort -u)
    [ -n "$sources" ] || fail "apt knows no Debian mirror: run apt-get update, then try again"
    release=$(debian_release)
    local without=() folder
    for folder in doc info locale; do
        without+=(--dpkgopt="path-exclude=/usr/share/$folder/*")
    done
    mmdebstrap --quiet --format=tar --mode=root --variant=minbase "${without[@]}" \
        --include="$packages" "$@" "$release" "$layer.new" - <<<"$sources" >&2 ||
        fail "could not make a Debian root file system"
    mv "$layer.new" "$layer"
}
# What all Spark images share: a small Debian with Java and Python.
base_layer() {
    local layer=$home/base.tar
    [ -f "$layer" ] || {
        say "making the base of the Spark images from Debian packages"
        # shellcheck disable=SC2016 # mmdebstrap's own variable
        debian_layer "$layer" \
            "$(first_package openjdk-17-jre-headless openjdk-21-jre-headless),python3,tini,procps" \
            --customize-hook='chroot "$1" useradd --uid 185 --gid 0 --home-dir /opt/spark --no-create-home spark'
    }
    echo "$layer"
}
debian_release() { sed -nE 's/^VERSION_CODENAME=(.*)/\1/p' /etc/os-release; }
first_package() {
    local name
    for name in "$@"; do
        apt-cache show "$name" >/dev/null 2>&1 && echo "$name" && return
    done
}

# The archive of a Spark's classes that hack/kubernetes/warm has made, if it has.
class_archive() { # version
    local archive newest=
    for archive in "$home/classes/$1"-*/spark.jsa; do
        [ -f "$archive" ] || continue
        [ -n "$newest" ] && [ "$newest" -nt "$archive" ] || newest=$archive
    done
    echo "$newest"
}

# The layout of Spark's own images, and the entry point and user they have. PySpark's package
# directory is a whole Spark; the entry point is the one of the embedded cluster.
import_spark() { # version archive
    local version=$1 archive=$2 package folder layer environment=
    "$repository/hack/setup.sh" "$version" >&2
    package=$(echo "$cache/spark/$version"/lib/python3*/site-packages/pyspark)
    [ -d "$package/jars" ] || fail "$package is no Spark installation"
    folder=$(mktemp -d "$home/spark.XXXXXX")
    layer=$folder/layer.tar
    mkdir -p "$folder/root/opt/spark/work-dir"
    cp "$repository"/crates/node/src/images/{entrypoint,decom}.sh "$folder/root/opt/"
    chmod 755 "$folder"/root/opt/*.sh
    chmod 775 "$folder/root/opt/spark/work-dir"
    if [ -n "$archive" ]; then
        cp "$archive" "$archive.classpath" "$folder/root/opt/"
        environment=', "WINDLASS_CLASS_ARCHIVE=/opt/spark.jsa"'
    fi
    tar -C "$folder/root" --owner 185 --group 0 -cf "$layer" opt
    tar -C "$package" --owner 185 --group 0 --exclude __pycache__ --transform 's,^\.,opt/spark,' -rf "$layer" .
    import_image "docker.io/apache/spark:$version" '{
        "Entrypoint": ["/usr/bin/tini", "-s", "--", "/opt/entrypoint.sh"],
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SPARK_HOME=/opt/spark"'"$environment"'],
        "WorkingDir": "/opt/spark/work-dir",
        "User": "185"
    }' "$(base_layer)" "$layer"
    rm -rf "$folder"
}

# Imports an image unless it is there and was made from the same.
have_image() { # name key command...
    local image=$1 key=$2 record
    shift 2
    record=$home/images/$(tr '/:' '__' <<<"$image")
    if [ "$(cat "$record" 2>/dev/null)" = "$key" ] && containers images list -q | grep -qxF "$image"; then
        return
    fi
    "$@"
    mkdir -p "$home/images"
    echo "$key" >"$record"
}

have_images() {
    local version recipe archive
    recipe=$(cat "$tool/images.sh" "$repository/hack/archive.sh" "$repository"/crates/node/src/images/{entrypoint,decom}.sh | sha256sum)
    have_image "$pause_image" "$recipe $(cat "$binaries/pause.recipe")" import_binary "$pause_image" "$binaries/pause"
    have_image "$dns_image" "$recipe $(cat "$binaries/coredns.recipe")" import_binary "$dns_image" "$binaries/coredns"
    for version in "${spark_versions[@]}"; do
        archive=$(class_archive "$version")
        have_image "docker.io/apache/spark:$version" "$recipe $archive" import_spark "$version" "$archive"
    done
}
