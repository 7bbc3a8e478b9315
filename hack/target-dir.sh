#!/usr/bin/env bash
# Prepares the build directory of this checkout:  hack/target-dir.sh DIRECTORY
#
# Every checkout has one of its own, since cargo takes the crates of two checkouts for the same and
# would hand out the other's binary. What they share is the expensive part, the dependencies: a
# new checkout takes over the directory of one that is gone, else copies the dependencies of one
# that is there.
set -euo pipefail

target=$1
checkout=$(cd "$(dirname "$0")/.." && pwd)
builds=$(dirname "$target")
mkdir -p "$builds" 2>/dev/null && [ -w "$builds" ] || {
    echo "windlass: cannot write to $builds: set WINDLASS_CACHE to a folder you may write to" >&2
    exit 1
}
exec 9>"$builds/.lock"
flock 9
[ ! -f "$target/.checkout" ] || exit 0

# Without their fingerprints cargo builds the crates of this workspace anew, and nothing else.
forget_workspace() { # target
    find "$1" -maxdepth 3 -path '*/.fingerprint/*' \
        \( -name 'windlass*' -o -name 'xtask*' \) -exec rm -rf {} +
}
dependencies_of() { # target
    tar -C "$1" -cf - --exclude='windlass*' --exclude='libwindlass*' --exclude='xtask*' \
        .rustc_info.json debug/deps debug/build debug/.fingerprint
}

rm -rf "$target.new"
newest=
while read -r other; do
    [ -f "$other/.checkout" ] && [ "$other" != "$target" ] || continue
    if [ ! -d "$(cat "$other/.checkout")" ]; then
        if [ ! -d "$target.new" ]; then
            mv "$other" "$target.new"
            forget_workspace "$target.new"
        else
            rm -rf "$other"
        fi
    elif [ -z "$newest" ] && [ -d "$other/debug/deps" ]; then
        newest=$other
    fi
done < <(ls -td "$builds"/* 2>/dev/null)
if [ ! -d "$target.new" ]; then
    mkdir "$target.new"
    if [ -n "$newest" ]; then
        echo "==> taking the built dependencies of $(cat "$newest/.checkout")" >&2
        # A build that is under way there would change files while they are read.
        exec 8>>"$newest/debug/.cargo-lock"
        flock 8
        dependencies_of "$newest" | tar -C "$target.new" -xf -
        flock -u 8
    fi
fi
# A directory without a name is what an interrupted preparation left.
rm -rf "$target"
echo "$checkout" >"$target.new/.checkout"
mv "$target.new" "$target"
