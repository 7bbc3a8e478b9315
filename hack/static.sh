#!/usr/bin/env bash
# Builds windlass as one static binary, which is all that its image holds, and prints its path:
#   hack/static.sh [--release]
#
# Only the last step, which links the program, is told to be static. The machine code of all crates
# is position-independent anyway, and which C library goes with it is decided when it is linked; so
# everything is taken from the build for this machine (cargo's build directory), and a static
# binary costs seconds instead of a second build of four hundred crates. It is put elsewhere, so
# that target/debug/windlass stays what it was.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PATH:${HOME:-$(echo ~)}/.cargo/bin

profile=dev folder=debug
case "$*" in
    '') ;;
    --release) profile=release folder=release ;;
    *)
        echo "windlass: hack/static.sh: unknown arguments $*: there is --release" >&2
        exit 2
        ;;
esac
target=${CARGO_TARGET_DIR:-$PWD/target}
# What cargo tells the programs that it runs, such as tests: build scripts that ask for one of these would run
# again, and half of all crates be compiled anew; and once more by the next one who is told nothing.
unset OUT_DIR "${!CARGO_MANIFEST_@}" "${!CARGO_PKG_@}"
echo "==> linking windlass statically" >&2
CARGO_BUILD_BUILD_DIR=$target cargo rustc --quiet --profile "$profile" --target-dir "$target/static" \
    --package windlass --bin windlass -- -C target-feature=+crt-static -C strip=debuginfo >&2
binary=$target/static/$folder/windlass
# shellcheck source=SCRIPTDIR/archive.sh
. hack/archive.sh
is_static "$binary" || {
    echo "windlass: $binary is not static: the linker has not found the static C library" >&2
    exit 1
}
echo "$binary"
