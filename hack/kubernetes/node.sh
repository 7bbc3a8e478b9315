#!/usr/bin/env bash
# The first process of the node, in its namespaces already:  node.sh STATE NAME
# It gives the node places of its own where programs insist on fixed ones, and then only waits.
set -euo pipefail
state=$1 name=$2
hostname "$name"
mount --make-rshared /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/netns
for folder in /var/lib /var/log; do
    upper=$state/upper$folder work=$state/work$folder
    mkdir -p "$upper" "$work"
    mount -t overlay -o "lowerdir=$folder,upperdir=$upper,workdir=$work" overlay "$folder"
done
# The kubelet sets these for the whole machine; here it sets copies.
for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops \
    kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
    [ -f "/proc/sys/$setting" ] || continue
    copy=$state/proc/$(tr / . <<<"$setting")
    cat "/proc/sys/$setting" >"$copy"
    mount --bind "$copy" "/proc/sys/$setting"
done
touch "$state/node.ready"
exec tini -s -- sleep infinity
