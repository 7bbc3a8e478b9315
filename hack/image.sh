#!/usr/bin/env bash
# Writes the archive of an image that is nothing but one static binary, its entry point:
#   hack/image.sh NAME BINARY >ARCHIVE
set -euo pipefail
# shellcheck source=SCRIPTDIR/archive.sh
. "$(dirname "$0")/archive.sh"
[ $# = 2 ] && [ -f "$2" ] || {
    echo "windlass: usage: hack/image.sh NAME BINARY >ARCHIVE" >&2
    exit 2
}
write_binary_image "$1" "$2"
