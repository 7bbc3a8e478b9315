# shellcheck shell=bash
# Starts the node and what runs on it. Sourced.
#
# The node is a machine within the machine, in namespaces of its own: its network has one cable to
# the host, its mounts and processes are its own. So ports, firewall rules, routes and mounts of
# the host stay as they are, and when the node's first process ends, everything ends with it.

start_node() {
    if [ -f "$state/node.complete" ] && [ -n "$(node_pid)" ]; then
        [ "$(running_minor)" = "$minor" ] ||
            fail "Kubernetes $(running_minor) runs: stop it first with hack/kubernetes/down"
        return 0
    fi
    stop_node
    say "starting the node"
    mkdir -p "$state"/{pid,log,pki,config,etcd,kubelet,proc} "$store"
    echo "$minor" >"$state/minor"
    # shellcheck disable=SC2016 # for the inner shell
    WINDLASS_KUBERNETES=$state setsid sh -c 'echo $$ >"$0"; exec "$@"' "$state/keeper" \
        unshare --fork --pid --kill-child --mount-proc --net --mount --uts --ipc \
        bash "$tool/node.sh" "$state" "$node_name" </dev/null >"$state/log/node.log" 2>&1 9>&- &
    local started=$!
    disown
    node_is_there() { [ -f "$state/node.ready" ] && node_pid; }
    node_is_decided() { node_is_there || ! kill -0 "$started"; }
    wait_for 30 "the node starting" node_is_decided
    node_is_there >/dev/null || fail "the node has ended at once" "$(tail -n 3 "$state/log/node.log")"
    # The cable. The host learns one route, which goes when the cable goes.
    ip link add "$host_link" type veth peer name eth0 netns "$(node_pid)"
    ip address add "$host_address/30" dev "$host_link"
    ip link set "$host_link" up
    on_node ip link set lo up
    on_node ip address add "$node_address/30" dev eth0
    on_node ip link set eth0 up
    on_node ip route add default via "$host_address"
    on_node sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
    ip route replace "$network.0.0/16" via "$node_address" dev "$host_link"
    make_cgroups
    touch "$state/node.complete"
}

running_minor() { cat "$state/minor"; }

# Ends the node and all that runs on it, and removes what that leaves: empty cgroups and the state.
stop_node() {
    local keeper root
    if keeper=$(node_keeper); then
        say "stopping the node"
        # The store of images outlives the node, so containerd ends in order; it cannot be in the
        # middle of something once the kubelet is gone.
        if [ -n "$(node_pid)" ]; then
            stop_service kubelet KILL
            stop_service containerd
        fi
        kill -KILL "$keeper"
        node_is_gone() { [ -z "$(node_keeper)" ] && ! ip link show "$host_link"; }
        wait_for 60 "the node ending" node_is_gone
    fi
    for root in $(cgroup_roots); do
        [ ! -d "$root" ] || find "$root" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
    rm -rf "$state"
}

# The node's own cgroup, in every hierarchy of version 1 or in the one of version 2.
cgroup_roots() {
    if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
        echo "/sys/fs/cgroup/$cgroup"
    else
        local hierarchy
        for hierarchy in /sys/fs/cgroup/*/; do
            [ -L "${hierarchy%/}" ] || echo "$hierarchy$cgroup"
        done
    fi
}
make_cgroups() {
    local root file
    for root in $(cgroup_roots); do
        mkdir -p "$root"
        # A new cpuset of version 1 allows nothing.
        for file in cpuset.cpus cpuset.mems; do
            [ ! -f "$(dirname "$root")/$file" ] || cat "$(dirname "$root")/$file" >"$root/$file"
        done
    done
}

make_keys() {
    local pki=$state/pki
    [ ! -f "$pki/complete" ] || return 0
    new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$pki/$1.key"; }
    certificate() { # name subject [extensions]
        new_key "$1"
        openssl req -new -key "$pki/$1.key" -subj "$2" -out "$pki/$1.csr"
        openssl x509 -req -in "$pki/$1.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -days 365 \
            -set_serial "0x$(openssl rand -hex 8)" -out "$pki/$1.crt" \
            -extfile <(printf 'keyUsage=digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n%b' "${3:-}")
    }
    {
        new_key service-accounts
        new_key ca
        openssl req -x509 -new -key "$pki/ca.key" -subj /CN=windlass-kubernetes -days 365 -out "$pki/ca.crt"
        certificate apiserver /CN=kube-apiserver \
            "subjectAltName=IP:$node_address,IP:$api_service,IP:127.0.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local\n"
        certificate admin /O=system:masters/CN=admin
        certificate kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
        certificate controller-manager /CN=system:kube-controller-manager
        certificate scheduler /CN=system:kube-scheduler
        certificate proxy /CN=system:kube-proxy
        certificate kubelet "/O=system:nodes/CN=system:node:$node_name" "subjectAltName=IP:$node_address,DNS:$node_name\n"
    } 2>"$state/log/keys.log" || fail "openssl could not make certificates" "$(tail -n 3 "$state/log/keys.log")"
    local who
    for who in admin controller-manager scheduler proxy kubelet; do
        kubeconfig_of "$who" >"$state/config/$who.kubeconfig"
    done
    touch "$pki/complete"
}
kubeconfig_of() { # name
    local pki=$state/pki
    cat <<END
apiVersion: v1
kind: Config
current-context: windlass-kubernetes
contexts:
- name: windlass-kubernetes
  context: {cluster: windlass-kubernetes, user: $1}
clusters:
- name: windlass-kubernetes
  cluster:
    server: https://$node_address:6443
    certificate-authority-data: $(base64 -w 0 "$pki/ca.crt")
users:
- name: $1
  user:
    client-certificate-data: $(base64 -w 0 "$pki/$1.crt")
    client-key-data: $(base64 -w 0 "$pki/$1.key")
END
}

# Each service's command line, so that one of them can be stopped and started alone.
launch() { # name
    local pki=$state/pki config=$state/config runtime=()
    # Since 1.27 the configuration names it, and 1.35 knows no other kind of runtime.
    ! is_floor || runtime=(--container-runtime=remote --container-runtime-endpoint="unix://$state/containerd.sock")
    case "$1" in
        etcd)
            # No journal of a test cluster outlives it, so nothing waits for the disk.
            start_service etcd "$binaries/etcd" --data-dir "$state/etcd" --unsafe-no-fsync \
                --listen-peer-urls http://127.0.0.1:2380
            ;;
        kube-apiserver)
            start_service kube-apiserver "$binaries/kube-apiserver" \
                --etcd-servers=http://127.0.0.1:2379 \
                --bind-address=0.0.0.0 --advertise-address="$node_address" --secure-port=6443 \
                --service-cluster-ip-range="$services_range" \
                --client-ca-file="$pki/ca.crt" \
                --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
                --kubelet-client-certificate="$pki/kubelet-client.crt" --kubelet-client-key="$pki/kubelet-client.key" \
                --kubelet-preferred-address-types=InternalIP \
                --service-account-key-file="$pki/service-accounts.key" \
                --service-account-signing-key-file="$pki/service-accounts.key" \
                --service-account-issuer=https://kubernetes.default.svc.cluster.local \
                --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
                --allow-privileged=true
            ;;
        kube-controller-manager)
            start_service kube-controller-manager "$binaries/kube-controller-manager" \
                --kubeconfig="$config/controller-manager.kubeconfig" \
                --authentication-kubeconfig="$config/controller-manager.kubeconfig" \
                --authorization-kubeconfig="$config/controller-manager.kubeconfig" \
                --use-service-account-credentials --leader-elect=false \
                --service-account-private-key-file="$pki/service-accounts.key" \
                --root-ca-file="$pki/ca.crt" \
                --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key"
            ;;
        kube-scheduler)
            start_service kube-scheduler "$binaries/kube-scheduler" \
                --kubeconfig="$config/scheduler.kubeconfig" \
                --authentication-kubeconfig="$config/scheduler.kubeconfig" \
                --authorization-kubeconfig="$config/scheduler.kubeconfig" \
                --leader-elect=false
            ;;
        containerd) start_service containerd containerd --config "$config/containerd.toml" ;;
        kubelet)
            start_service kubelet "$binaries/kubelet" --config="$config/kubelet.yaml" \
                --kubeconfig="$config/kubelet.kubeconfig" --root-dir="$state/kubelet" \
                --hostname-override="$node_name" --node-ip="$node_address" "${runtime[@]}"
            ;;
        kube-proxy)
            start_service kube-proxy "$binaries/kube-proxy" --config="$config/proxy.yaml" \
                --hostname-override="$node_name"
            ;;
        # What hack/kubernetes/disks adds. What these may do is not what is tried with them.
        csi-driver)
            start_service csi-driver "$binaries/csi-driver" "$node_name" "$state/disks" \
                "$state/kubelet/plugins_registry/disks.sock"
            ;;
        csi-provisioner | csi-resizer)
            start_service "$1" "$binaries/$1" --csi-address="$state/disks/csi.sock" \
                --kubeconfig="$config/admin.kubeconfig"
            ;;
        *) fail "there is no service $1 on the node" "there are etcd, kube-apiserver, kube-controller-manager, kube-scheduler, containerd, kubelet, kube-proxy, and with disks csi-driver, csi-provisioner, csi-resizer" ;;
    esac
}
launch_missing() { # name...
    local name
    for name in "$@"; do
        service_runs "$name" || launch "$name"
    done
}

write_configuration() {
    local config=$state/config pki=$state/pki
    # Here even root may be unable to make a process less likely to be killed for want of memory.
    cat >"$config/containerd.toml" <<END
version = 2
root = "$store"
state = "$state/containerd"
[grpc]
  address = "$state/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$pause_image"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$config/cni"
END
    mkdir -p "$config/cni"
    cat >"$config/cni/10-bridge.conflist" <<END
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$pods_range"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}
]}
END
    : >"$config/resolv.conf"
    local newer="containerRuntimeEndpoint: unix://$state/containerd.sock
failCgroupV1: false"
    ! is_floor || newer=
    # The disk of a machine where people work is often nearly full: that must neither evict pods
    # nor throw away images that cannot be pulled again.
    cat >"$config/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $pki/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: $pki/kubelet.crt
tlsPrivateKeyFile: $pki/kubelet.key
cgroupDriver: cgroupfs
cgroupRoot: /$cgroup
$newer
failSwapOn: false
oomScoreAdj: 0
clusterDNS: [$dns_service]
clusterDomain: cluster.local
resolvConf: $config/resolv.conf
evictionHard: {memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
END
    cat >"$config/proxy.yaml" <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clientConnection: {kubeconfig: $config/proxy.kubeconfig}
clusterCIDR: $pods_range
oomScoreAdj: 0
conntrack: {maxPerCore: 0}
END
}

start_services() {
    write_configuration
    if ! service_runs containerd; then
        launch containerd
        wait_for 60 "containerd answering" containers version
        # Pods of a cluster that is gone; containerd reads them when it starts, so once more.
        local old
        old=$(containers containers list -q)
        if [ -n "$old" ]; then
            # shellcheck disable=SC2086 # a list of ids
            containers containers delete $old >&2
            launch containerd
            wait_for 60 "containerd answering" containers version
        fi
    fi
    have_images
    say "starting Kubernetes $kubernetes_version"
    make_keys
    launch_missing etcd kube-apiserver
    cp "$state/config/admin.kubeconfig" "$kubeconfig.new"
    chmod 600 "$kubeconfig.new"
    mv "$kubeconfig.new" "$kubeconfig"
    wait_for 120 "the API answering" kubectl_admin get --raw /readyz
    launch_missing kube-controller-manager kube-scheduler kubelet kube-proxy
    # The kubectl of today cannot check what it sends to an API server of then.
    dns_manifest | kubectl_admin apply --validate=false -f - >&2
    say "waiting for the node and for DNS"
    node_is_ready() { kubectl_admin wait --for=condition=Ready "node/$node_name" --timeout=1s; }
    wait_for 180 "the node being ready" node_is_ready
    kubectl_admin --namespace kube-system rollout status deployment/coredns --timeout=180s >&2 ||
        fail "CoreDNS does not run" "$(kubectl_admin --namespace kube-system describe pods | tail -n 20)"
    wait_for 60 "the default service account" kubectl_admin get serviceaccount default
}

dns_manifest() { sed -e "s,DNS_IMAGE,$dns_image," -e "s,DNS_SERVICE,$dns_service," "$tool/coredns.yaml"; }
