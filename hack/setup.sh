#!/usr/bin/env bash
# Makes sure that what Windlass runs on this machine is there: a C linker for cargo, a JRE, Python
# with venv, and PySpark of the wanted versions, each in a private virtual environment.
#
#   hack/setup.sh [VERSION...]      default: the newest supported Spark; 4.1 means the newest 4.1.x
#
# Safe to run again: what is there is left alone. Works as root (installs Debian packages when
# they are missing) and as a plain user (says which packages to ask for).
set -euo pipefail

cache="${WINDLASS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/windlass}"
versions=("$@")
[ ${#versions[@]} -gt 0 ] || versions=(4.3.0)

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }

# Debian packages: command that proves it -> package.
need=()
command -v cc >/dev/null 2>&1 || need+=(gcc libc6-dev)
command -v java >/dev/null 2>&1 || [ -x "${JAVA_HOME:-/nonexistent}/bin/java" ] || need+=(openjdk-17-jre-headless)
command -v ps >/dev/null 2>&1 || need+=(procps)
command -v python3 >/dev/null 2>&1 || need+=(python3)
python3 -c 'import venv, ensurepip' >/dev/null 2>&1 || need+=(python3-venv)
for extra in ${WINDLASS_EXTRA_PACKAGES:-}; do
    dpkg -s "$extra" >/dev/null 2>&1 || need+=("$extra")
done
if [ ${#need[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "installing ${need[*]}"
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq >&2
        apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
    else
        echo "windlass: these packages are missing: ${need[*]}" >&2
        echo "windlass: install them first, for example: sudo apt-get install ${need[*]}" >&2
        exit 1
    fi
fi

# One environment per Spark version. The marker is written last, so an interrupted install is redone.
mkdir -p "$cache/spark"
exec 9>"$cache/spark/.lock"
flock 9
for version in "${versions[@]}"; do
    home="$cache/spark/$version"
    [ -f "$home/.complete" ] && continue
    say "installing PySpark $version into $home (once)"
    rm -rf "$home"
    python3 -m venv "$home"
    "$home/bin/python" -m pip install --quiet --no-input --upgrade pip setuptools wheel >&2
    wanted="pyspark==$version"
    [[ "$version" =~ ^[0-9]+\.[0-9]+$ ]] && wanted="$wanted.*"
    "$home/bin/python" -m pip install --quiet --no-input --no-cache-dir "$wanted" >&2
    touch "$home/.complete"
done
