#!/usr/bin/env bash
# Makes sure that Jupyter's notebook is there, for the image tensorflow/tensorflow:2.21.0-jupyter on embedded clusters:
#
#   hack/notebook.sh [--tensorflow]
#
#   --tensorflow   also TensorFlow for CPUs, of which there is 1.5 GB
#
# From PyPI, in the versions that hack/notebook.txt has. Safe to run again and to interrupt.
set -euo pipefail

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
wanted=(-r "$(cd "$(dirname "$0")" && pwd)/notebook.txt")
marker=.complete what="Jupyter's notebook (once; some 260 MB)"
case "${1:-}" in
    '') ;;
    --tensorflow)
        wanted+=(tensorflow-cpu==2.21.0)
        marker=.tensorflow what="Jupyter's notebook with TensorFlow (once; some 1.8 GB)"
        ;;
    *)
        echo "windlass: hack/notebook.sh: unknown argument $1: give --tensorflow or nothing" >&2
        exit 1
        ;;
esac
cache="${WINDLASS_CACHE:-${XDG_CACHE_HOME:-${HOME:-$(echo ~)}/.cache}/windlass}"
home=$cache/tensorflow/2.21.0-jupyter
! [ -f "$home/$marker" ] || exit 0

say "installing $what into $home"
mkdir -p "$cache/tensorflow"
exec 9>"$cache/tensorflow/.lock"
flock 9
if [ ! -f "$home/.complete" ]; then
    rm -rf "$home"
    for python in python3 /usr/bin/python3; do
        ! "$python" -c 'import venv, ensurepip' >/dev/null 2>&1 || break
    done
    "$python" -m venv "$home"
fi
"$home/bin/python3" -m pip install --quiet --no-input --no-cache-dir --disable-pip-version-check "${wanted[@]}" >&2
touch "$home/$marker" "$home/.complete"
