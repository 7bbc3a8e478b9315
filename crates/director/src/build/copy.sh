#!/bin/sh
# Copies directories of the image to the storage of a member, before the member starts: sh COPY DIRECTORY...
#
# It may be killed at any moment, and goes on where it was when it is started again: what is copied is
# moved to its place as a whole, so what is there is there completely, and is not copied twice. A mark is
# made when everything is there. What the image does not have begins empty. How far it is, it writes to
# a file and to its log. POSIX only: the image may be any; sizes are told where it has du.
set -eu

root=${WINDLASS_ROOT-}
storage=$root/mnt
work=$storage/.windlass-init
progress=$storage/etc/kubedirector-init-progress-bar.log
[ ! -e "$storage/etc/kubedirector.init" ] || exit 0
mkdir -p "$storage/etc" "$work"

# KiB of a file or directory, of one file system; 0 where it cannot be told.
size() {
    du -skx "$1" 2>/dev/null | {
        read -r kib _ || kib=0
        echo "${kib:-0}"
    }
}

say() {
    printf '%s\n' "$1"
    printf '%s\n' "$1" >>"$storage/etc/kubedirector-init.log"
    printf '%s\n' "$1" >"$progress.new" && mv -f "$progress.new" "$progress"
}

# Notes where it is, for whoever tells it while something is copied.
note() {
    printf '%s\n%s\n' "$copied" "$where" >"$work/now"
}

# How far it is, with so many KiB of what is being copied.
tell() {
    if [ "$total" -gt 0 ]; then
        say "$where, $(((copied + $1) / 1024)) of $((total / 1024)) MiB in all"
    else
        say "$where"
    fi
}

# A directory that something else is mounted on belongs to no image.
is_mounted() {
    [ -d "$1" ] && [ ! -h "$1" ] && grep -q " $1 " /proc/mounts 2>/dev/null
}

copy() {
    if is_mounted "$1"; then
        mkdir -p "$2"
        return
    fi
    rm -rf "$work/part"
    cp $flags "$1" "$work/part"
    mv "$work/part" "$2"
}

: >"$work/probe"
flags=-ax
cp -ax "$work/probe" "$work/probed" 2>/dev/null || flags=-a

total=0
for directory; do
    [ ! -d "$root$directory" ] || total=$((total + $(size "$root$directory")))
done
copied=0
count=0
# What takes long is told while it does.
(
    while sleep 5 >/dev/null 2>&1; do
        { read -r copied && read -r where; } <"$work/now" || continue
        tell "$(size "$work/part")"
    done
) &
teller=$!
trap 'kill "$teller" 2>/dev/null || :' EXIT
for directory; do
    count=$((count + 1))
    where="directory $count of $#, $directory"
    from=$root$directory
    to=$storage$directory
    mkdir -p "$to"
    [ -d "$from" ] || continue
    note
    tell 0
    for entry in "$from"/* "$from"/.[!.]* "$from"/..?*; do
        [ -e "$entry" ] || [ -h "$entry" ] || continue
        target=$to/${entry##*/}
        [ -e "$target" ] || [ -h "$target" ] || copy "$entry" "$target"
        copied=$((copied + $(size "$entry")))
        note
    done
    # The directory itself was made here; it is to be like that of the image.
    chmod "$(stat -c %a "$from")" "$to" 2>/dev/null || :
    chown "$(stat -c %u:%g "$from")" "$to" 2>/dev/null || :
done
kill "$teller" 2>/dev/null || :
where="all $# directories are copied"
tell 0
rm -rf "$work"
: >"$storage/etc/kubedirector.init"
