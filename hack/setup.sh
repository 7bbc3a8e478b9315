#!/usr/bin/env bash
# Makes sure that what Windlass needs on this machine is there: a C compiler for cargo, Java,
# Python with venv, and PySpark of the wanted versions, each in a virtual environment of its own.
#
#   hack/setup.sh [--packages] [--kubectl] [--promtool] [--jdk] [--registry] [--clients] [--catalog] [VERSION...]
#
#   VERSION     a Spark version, default the newest supported; 4.1 means the newest 4.1.x
#   --packages  nothing but the Debian packages of all that is named
#   --kubectl   also kubectl, which the tests drive
#   --promtool  also Prometheus' checker of metrics and alert rules, unpacked into the cache and not
#               installed: the package would start a service; where it cannot be had, the tests
#               that use it say so and are left out
#   --jdk       also a Java compiler, which the long tests use
#   --registry  also a registry of container images, unpacked into the cache and not installed:
#               the package would start it as a service
#   --clients   also what PySpark's client of Spark Connect needs, in each environment of Spark 4;
#               a server that speaks the language of S3, Hadoop's file system for S3 of Spark 4.3, and
#               the Kubernetes clients for Python and Node.js of crates/cli/tests/clients
#   --catalog   also what `make e2e-apps` alone needs: Cassandra and Kafka with their clients, Jupyter's
#               notebook, Airflow, servers that stand in for those of Google and Azure, and Hadoop's file
#               system for S3 of Spark 3.5
#
# Safe to run again and to interrupt: what is there is left alone, what is half there is redone.
# Root gets missing Debian packages installed; anybody else is told which ones to ask for.
# Everything else goes to WINDLASS_CACHE, by default the folder windlass below XDG_CACHE_HOME or
# ~/.cache.
set -euo pipefail

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
fail() {
    printf 'windlass: %s\n' "$@" >&2
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

packages_alone=false
wants_kubectl=false wants_promtool=false wants_jdk=false wants_registry=false wants_clients=false wants_catalog=false
versions=()
for argument in "$@"; do
    case "$argument" in
        --packages) packages_alone=true ;;
        --kubectl) wants_kubectl=true ;;
        --promtool) wants_promtool=true ;;
        --jdk) wants_jdk=true ;;
        --registry) wants_registry=true ;;
        --clients) wants_clients=true ;;
        --catalog) wants_catalog=true ;;
        [0-9]*.[0-9]*) versions+=("$argument") ;;
        *) fail "hack/setup.sh: unknown argument $argument: give Spark versions, --packages, --kubectl, --promtool, --jdk, --registry, --clients, --catalog" ;;
    esac
done
[ ${#versions[@]} -gt 0 ] || versions=(4.3.0)

# The shell knows the home of users who have no HOME in their environment, as in some CI systems.
cache="${WINDLASS_CACHE:-${XDG_CACHE_HOME:-${HOME:-$(echo ~)}/.cache}/windlass}"
mkdir -p "$cache/spark" 2>/dev/null && [ -w "$cache/spark" ] ||
    fail "cannot write to $cache: set WINDLASS_CACHE to a folder you may write to"

# Spark needs Java 17 or newer.
java_major() { # path-to-java
    "$1" -version 2>&1 | sed -nE 's/.* version "(1\.)?([0-9]+).*/\2/p' | head -n 1
}
java_is_usable() {
    local java=java major
    [ -z "${JAVA_HOME:-}" ] || java=$JAVA_HOME/bin/java
    has "$java" && major=$(java_major "$java") && [ "${major:-0}" -ge 17 ]
}
# The client for Node.js needs 18 or newer.
node_is_usable() {
    local version
    has node && has npm && version=$(node --version) && version=${version#v} && [ "${version%%.*}" -ge 18 ]
}
# The first of the given packages that this release of Debian or Ubuntu has.
first_package() {
    local name
    for name in "$@"; do
        if apt-cache show "$name" >/dev/null 2>&1; then
            echo "$name"
            return
        fi
    done
    echo "$1"
}
# A Python that can make virtual environments; the machine's own when the first on the path cannot.
python_with_venv() {
    local candidate
    for candidate in python3 /usr/bin/python3; do
        if has "$candidate" && "$candidate" -c 'import venv, ensurepip' >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    return 1
}
# What is missing, as Debian packages. A function, since a fresh machine has no package lists yet
# and the names are looked up in them.
missing_packages() {
    has cc && has ar || echo gcc libc6-dev
    if $wants_jdk && ! { has javac && java_is_usable; }; then
        first_package openjdk-17-jdk-headless openjdk-21-jdk-headless default-jdk-headless
    elif ! java_is_usable; then
        first_package openjdk-17-jre-headless openjdk-21-jre-headless default-jre-headless
    fi
    has ps || echo procps
    has python3 || echo python3
    python_with_venv >/dev/null || echo python3-venv
    if $wants_kubectl && ! has kubectl; then
        first_package kubectl kubernetes-client
    fi
    # Disks that grow while they are in use, which root alone mounts; the programs are not in everybody's path.
    if $wants_kubectl && [ "$(id -u)" = 0 ]; then
        PATH=$PATH:/usr/sbin:/sbin has mkfs.xfs || echo xfsprogs
    fi
    if { $wants_clients || $wants_catalog; } && ! node_is_usable; then
        has node || echo nodejs
        has npm || echo npm
    fi
}

[ -z "${JAVA_HOME:-}" ] || java_is_usable ||
    fail "JAVA_HOME is $JAVA_HOME, which is no Java 17 or newer: unset it or point it at one"
need=$(missing_packages | xargs)
if [ -n "$need" ]; then
    has apt-get || fail "missing on this machine, by their Debian names: $need" \
        "install their like with this system's own package manager"
    [ "$(id -u)" = 0 ] || fail "missing on this machine: $need" \
        "install them first, for example: sudo apt-get install --no-install-recommends $need"
    export DEBIAN_FRONTEND=noninteractive
    # hack/kubernetes may be installing, too.
    exec 8>"$cache/.apt.lock"
    flock 8
    # An installation that was interrupted keeps every later one from starting.
    [ -z "$(dpkg --audit 2>/dev/null)" ] || dpkg --configure -a >&2
    say "reading the package lists"
    apt-get -o DPkg::Lock::Timeout=300 update -qq >&2 || say "some package lists could not be read"
    need=$(missing_packages | xargs)
    say "installing $need"
    # shellcheck disable=SC2086 # a list of names
    apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends $need </dev/null >/dev/null
    left=$(missing_packages | xargs)
    flock -u 8
    [ -z "$left" ] || fail "installed, but still not usable: $left" \
        "see which java and python3 come first on the PATH"
fi
{ ! $wants_clients && ! $wants_catalog; } || node_is_usable ||
    fail "node is $(node --version), and the tests need 18 or newer: put a newer one first on the PATH"
! $packages_alone || exit 0

# The files of a Debian package, without installing it.
unpack() { # package folder
    rm -rf "$2.new" && mkdir -p "$2.new/package"
    (
        cd "$2.new/package"
        apt-get download -qq "$1" >&2 || { apt-get update -qq >&2 && apt-get download -qq "$1" >&2; }
    ) || return 1
    dpkg -x "$2.new"/package/*.deb "$2.new" || return 1
    rm -rf "$2.new/package" "$2"
    mv "$2.new" "$2"
}

# A registry to pull images from.
registry="$cache/registry"
if $wants_registry && [ ! -x "$registry/usr/bin/docker-registry" ]; then
    has apt-get || fail "the tests need the program docker-registry at $registry/usr/bin"
    say "fetching a registry into $registry"
    unpack docker-registry "$registry" || fail "the package docker-registry cannot be fetched"
fi

# The checker of metrics and alert rules.
promtool="$cache/promtool"
if $wants_promtool && ! has promtool && [ ! -x "$promtool/usr/bin/promtool" ]; then
    say "fetching promtool into $promtool"
    { has apt-get && unpack prometheus "$promtool"; } ||
        say "promtool cannot be fetched (Debian's package prometheus); put it on the PATH to have" \
            "metrics and alert rules checked by it"
fi

# One environment per Spark version. The marker is written last, so that an interrupted
# installation is done again; the lock makes two set-ups at once take turns.
python=$(python_with_venv)
exec 9>"$cache/spark/.lock"
flock 9
for version in "${versions[@]}"; do
    home="$cache/spark/$version"
    [ -f "$home/.complete" ] && [ -x "$home/bin/python3" ] && continue
    say "installing PySpark $version into $home (once; some 400 MB to fetch)"
    rm -rf "$home"
    "$python" -m venv "$home"
    "$home/bin/python3" -m pip install --quiet --no-input --disable-pip-version-check \
        --upgrade pip setuptools wheel >&2
    wanted="pyspark==$version"
    [[ "$version" =~ ^[0-9]+\.[0-9]+$ ]] && wanted="$wanted.*"
    "$home/bin/python3" -m pip install --no-input --no-cache-dir --disable-pip-version-check \
        "$wanted" >&2
    touch "$home/.complete"
done

# The clients, each at the version that its folder names. A copy of the list of packages is the
# marker, written last; the tests compare it.
clients=$(cd "$(dirname "$0")/../crates/cli/tests/clients" && pwd)
is_current() { # name list
    cmp -s "$clients/$1/$2" "$cache/clients/$1/.complete"
}
for version in "${versions[@]}"; do
    home="$cache/spark/$version"
    $wants_clients && [[ "$version" != 3.* ]] || continue
    cmp -s "$clients/connect/requirements.txt" "$home/.connect" && continue
    say "installing what Spark Connect's client needs into $home (once; some 100 MB to fetch)"
    "$home/bin/python3" -m pip install --quiet --no-input --no-cache-dir \
        --disable-pip-version-check -r "$clients/connect/requirements.txt" >&2
    cp "$clients/connect/requirements.txt" "$home/.connect"
done
python_client() { # folder what
    local home="$cache/clients/$1"
    is_current "$1" requirements.txt && return
    say "installing $2 into $home"
    rm -rf "$home"
    "$python" -m venv "$home"
    "$home/bin/python3" -m pip install --quiet --no-input --no-cache-dir \
        --disable-pip-version-check -r "$clients/$1/requirements.txt" >&2
    cp "$clients/$1/requirements.txt" "$home/.complete"
}
if $wants_clients; then
    python_client python "the Kubernetes client for Python"
    python_client moto "a server that speaks the language of S3 (once; some 140 MB)"
    "$(dirname "$0")/hadoop-aws.sh" 3.5.0
fi
node_client() { # folder what
    local home="$cache/clients/$1"
    is_current "$1" package-lock.json && return
    say "installing $2 into $home"
    rm -rf "$home" && mkdir -p "$home"
    cp "$clients/$1/package.json" "$clients/$1/package-lock.json" "$home"
    npm --prefix "$home" ci --silent --ignore-scripts --no-audit --no-fund >&2
    cp "$clients/$1/package-lock.json" "$home/.complete"
}
if $wants_clients; then
    node_client node "the Kubernetes client for Node.js"
fi
if $wants_catalog; then
    python_client airflow "Airflow with its provider for Kubernetes (once; some 280 MB)"
    python_client gcs "a server that speaks the language of Google Cloud Storage"
    node_client azurite "a server that speaks the language of Azure Blob (once; some 190 MB)"
    python_client cassandra "Cassandra's client for Python"
    python_client kafka "a client of Kafka for Python"
    "$(dirname "$0")/cassandra.sh"
    "$(dirname "$0")/kafka.sh"
    "$(dirname "$0")/notebook.sh"
    "$(dirname "$0")/hadoop-aws.sh" 3.3.4
fi
