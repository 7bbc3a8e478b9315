#!/usr/bin/env bash
# Makes sure that software from Maven Central is there, for an image of embedded clusters that stands for it:
# its jars, each with the sum that hack/NAME.sha256 has, and no others. Safe to run again and to interrupt.
#
#   hack/jars.sh NAME VERSION GROUP:ARTIFACT:VERSION[:alone]...
#
# With what an artifact depends on, unless it is wanted alone. They are fetched with the Ivy that is in every
# Spark; hack/setup.sh comes first.
set -euo pipefail

fail() {
    printf 'windlass: %s\n' "$@" >&2
    exit 1
}
name=$1 version=$2
shift 2
sums=$(cd "$(dirname "$0")" && pwd)/$name.sha256
cache="${WINDLASS_CACHE:-${XDG_CACHE_HOME:-${HOME:-$(echo ~)}/.cache}/windlass}"
home=$cache/$name/$version
! [ -f "$home/.complete" ] || exit 0

ivy=$(find "$cache/spark/" -path '*/pyspark/jars/ivy-*.jar' 2>/dev/null | sort | tail -n 1)
[ -n "$ivy" ] || fail "there is no Spark in $cache/spark to fetch $name with: run hack/setup.sh first"
printf '\033[1m==>\033[0m %s\n' "fetching $name $version into $home (once)" >&2
rm -rf "$home" "$home.new"
mkdir -p "$home.new/lib"
{
    echo '<ivy-module version="2.0"><info organisation="windlass" module="jars"/>'
    echo '<configurations><conf name="default"/></configurations><dependencies>'
    for artifact in "$@"; do
        IFS=: read -r group artifact revision alone <<<"$artifact"
        conf=default
        [ -z "$alone" ] || conf=master
        echo "<dependency org=\"$group\" name=\"$artifact\" rev=\"$revision\" conf=\"default->$conf\"/>"
    done
    echo '</dependencies></ivy-module>'
} >"$home.new/ivy.xml"
java "-Divy.default.ivy.user.dir=$home.new/ivy" -jar "$ivy" -error -ivy "$home.new/ivy.xml" -confs default \
    -retrieve "$home.new/lib/[artifact]-[revision](-[classifier]).[ext]" >/dev/null ||
    fail "could not fetch $name"
rm -rf "$home.new/ivy" "$home.new/ivy.xml"
(cd "$home.new/lib" && sha256sum --quiet -c "$sums") >&2 ||
    fail "what was fetched is not what hack/$name.sha256 says"
more=$(comm -13 <(sed 's/^[0-9a-f]* [ *]//' "$sums" | LC_ALL=C sort) <(ls "$home.new/lib" | LC_ALL=C sort) | xargs)
[ -z "$more" ] || fail "hack/$name.sha256 says nothing of what was fetched, too: $more"
touch "$home.new/.complete"
mv "$home.new" "$home"
