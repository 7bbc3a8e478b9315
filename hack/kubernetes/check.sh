# shellcheck shell=bash
# Says what this machine lacks for a real node, or installs it. Sourced.

missing_packages() {
    local command package
    while read -r command package; do
        has "$command" || echo "$package"
    done <<'NAMES'
containerd containerd
runc runc
iptables iptables
conntrack conntrack
ipset ipset
socat socat
ip iproute2
nsenter util-linux
openssl openssl
tini tini
mmdebstrap mmdebstrap
NAMES
    [ -x /usr/lib/cni/bridge ] || echo containernetworking-plugins
    has kubectl || echo kubectl
}

check_machine() {
    [ "$(uname -s)" = Linux ] || fail "a Kubernetes node needs Linux; this is $(uname -s)"
    [ "$(id -u)" = 0 ] || fail "a Kubernetes node needs root: run this as root"
    [ -d /sys/fs/cgroup ] && { [ -f /sys/fs/cgroup/cgroup.controllers ] || [ -d /sys/fs/cgroup/memory ]; } ||
        fail "this machine has no cgroups with a memory controller below /sys/fs/cgroup, which the kubelet needs"
    unshare --fork --pid --mount-proc --net --mount --uts --ipc true 2>/dev/null ||
        fail "this machine does not let root make namespaces (unshare), which containers need" \
            "in a container, start it privileged"
    case "$home/" in
        /run/* | /var/lib/* | /var/log/*) fail "the node hides /run, /var/lib and /var/log, and $home is in there: set WINDLASS_CACHE to another folder" ;;
    esac
    local need left
    need=$(missing_packages | xargs)
    [ -n "$need" ] || return 0
    has apt-get || fail "missing on this machine, by their Debian names: $need"
    export DEBIAN_FRONTEND=noninteractive
    # hack/setup.sh may be installing, too.
    mkdir -p "$cache"
    exec 8>"$cache/.apt.lock"
    flock 8
    need=$(missing_packages | xargs)
    say "installing $need"
    # shellcheck disable=SC2086 # a list of names
    {
        apt-get -o DPkg::Lock::Timeout=300 update -qq || say "some package lists could not be read"
        apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends $need
    } </dev/null >/dev/null || fail "could not install $need"
    flock -u 8
    left=$(missing_packages | xargs)
    [ -z "$left" ] || fail "installed, but still not usable: $left"
}

# Puts a Go that is new enough first on the PATH, for build.sh.
provide_go() {
    local go
    go=$("$repository/hack/go.sh") || fail "could not get the Go that Kubernetes is built with"
    PATH=${go%/*}:$PATH
}

# The network must not be somebody else's: a route into it that is not the default one and not ours.
check_network() {
    local route
    route=$(ip -4 route get "$node_address" 2>/dev/null | head -n 1)
    local default
    default=$(ip -4 route show default | head -n 1 | sed -nE 's/.* dev ([^ ]+).*/\1/p')
    case "$route" in
        '' | *" dev $default "* | *" dev $host_link "*) ;;
        *) fail "addresses in $network.0.0/16 are in use on this machine: $route" \
            "change network in hack/kubernetes/settings.sh" ;;
    esac
}
