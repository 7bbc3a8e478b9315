#!/bin/sh
# What runs inside of a member, started by an exec of the operator: sh /opt/windlass/agent COMMAND
#
#   meta POD GENERATION SECONDS      writes configmeta.json once this generation of it is mounted
#   prepare LAYOUT SOURCE SHA256     installs configcli and the setup package; - stands for none
#   inject ID URL DIR MODE OWNER GROUP   puts a file into a directory, once per ID and container
#   journald SECONDS                 waits for the journal of systemd
#   run WHAT ID CONTAINER SECONDS LIMIT MEMO -- ARGUMENTS   starts a hook, or asks how it goes
#   ask WHAT SECONDS LIMIT -- ARGUMENTS   calls something, and prints what it writes
#   idle                             does nothing, as the first process of a container
#
# Before COMMAND, --pod UID names the pod that it is for: another one may have taken its name. The same for
# containers: --enter CONTAINER begins to set up the one that runs, whatever it was called before, and
# --container CONTAINER does nothing in one that was not entered by that name. For the operator knows
# which one runs from a status, and that comes late.
#
# Every command may be killed at any moment and called again; none does a thing twice. It ends with 0,
# with 75 when the same call may succeed later, with 65 when what it was given is wrong, and with 64
# when it was called wrongly. POSIX only: the image may be any.
set -u
umask 022

root=${WINDLASS_ROOT-}
mounted=$root/opt/windlass
guest=$root/opt/guestconfig
state=$guest/.windlass

fail() {
    code=$1
    shift
    printf '%s\n' "$*" >&2
    exit "$code"
}

now() {
    date +%s
}

nap() {
    sleep 0.1 2>/dev/null || sleep 1
}

# What is killed while it writes leaves the old content.
replace() {
    cat >"$1.new.$$" && mv -f "$1.new.$$" "$1"
}

make_state() {
    mkdir -p "$guest" && chmod 700 "$guest" && mkdir -p "$state" ||
        fail 75 "cannot make $state"
}

# What tells a container from the one before it in the same pod: when its first process was started.
# Where that cannot be read, what the operator calls it has to do.
instance_of() {
    stat=$(cat "$root/proc/1/stat" 2>/dev/null)
    # The name of the process may have spaces in it, and ends with the last parenthesis.
    # shellcheck disable=SC2086
    set -- "$1" ${stat##*") "}
    if [ $# -ge 21 ]; then
        shift 20
        boot=$(cat "$root/proc/sys/kernel/random/boot_id" 2>/dev/null)
        printf '%s.%s' "$1" "${boot%%-*}"
    else
        sum=$(printf '%s' "$1" | cksum)
        printf '%s' "${sum%% *}"
    fi
}

# The container that runs has the names by which it was entered, each a file in a directory of its own.
be_in() {
    instance=$(instance_of "$1")
    names=$state/in-$instance
    name=$names/${1##*/}
    [ ! -e "$name" ] || return 0
    if [ -z "$enters" ]; then
        # An earlier agent has set it up, and entered none.
        set -- "$state"/in-*
        [ ! -e "$1" ] && [ -e "$state/meta" ] || fail 75 "another container runs now, and is not set up yet"
    elif [ -d "$names" ]; then
        # It was taken for the one before it. What it was told as such has to end, so that it is known.
        for hook in "$state"/*-"$instance"; do
            case $hook in
            */configure-*) continue ;;
            esac
            if [ -e "$hook/started" ] && [ ! -e "$hook/status" ]; then
                is_lost || fail 75 "a script runs that was begun when this was taken for another container"
                printf '137\n' | replace "$hook/status"
            fi
        done
    fi
    make_state
    mkdir -p "$names" && : >"$name" || fail 75 "cannot write $name"
}

startscript() {
    for script in "$guest"/*/startscript; do
        if [ -f "$script" ]; then
            printf '%s\n' "$script"
            return 0
        fi
    done
    return 1
}

fetch() {
    case $1 in
    http://* | https://*)
        if command -v curl >/dev/null 2>&1; then
            curl -fsSL --retry 2 --connect-timeout 20 -o "$2" "$1"
        elif command -v wget >/dev/null 2>&1; then
            wget -q -O "$2" "$1"
        elif command -v python3 >/dev/null 2>&1; then
            python3 -c 'import shutil, sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=60) as answer, open(sys.argv[2], "wb") as file:
    shutil.copyfileobj(answer, file)' "$1" "$2"
        else
            fail 65 "cannot fetch $1: the image has none of curl, wget and python3"
        fi
        ;;
    *)
        cp "$1" "$2"
        ;;
    esac
}

sha256_of() {
    if command -v sha256sum >/dev/null 2>&1; then
        sha256sum <"$1"
    elif command -v shasum >/dev/null 2>&1; then
        shasum -a 256 <"$1"
    elif command -v openssl >/dev/null 2>&1; then
        openssl dgst -sha256 -r <"$1"
    elif command -v python3 >/dev/null 2>&1; then
        python3 -c 'import hashlib, sys
print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())' <"$1"
    else
        fail 65 "cannot check the package: the image has none of sha256sum, shasum, openssl and python3"
    fi | cut -d' ' -f1
}

unpack() {
    if command -v tar >/dev/null 2>&1; then
        tar -xzf "$1" -C "$2"
    elif command -v python3 >/dev/null 2>&1; then
        python3 -m tarfile -e "$1" "$2"
    else
        fail 65 "cannot unpack the package: the image has neither tar nor python3"
    fi
}

# The directory that holds all files of one generation: the kubelet exchanges it as a whole.
enter_mounted() {
    if [ -d "$mounted/..data" ]; then
        cd -P "$mounted/..data" 2>/dev/null
    else
        cd -P "$mounted" 2>/dev/null
    fi
}

meta() {
    [ $# -eq 3 ] || fail 64 "meta needs POD GENERATION SECONDS"
    end=$(($(now) + $3))
    while :; do
        found=none
        if enter_mounted && [ -r generation ]; then
            found=$(cat generation)
            if [ "$found" -ge "$2" ] && [ -r "node.$1" ]; then
                break
            fi
        fi
        [ "$(now)" -lt "$end" ] || fail 75 "generation $found is mounted, and $2 is waited for"
        nap
    done
    make_state
    mkdir -p "$root/etc/guestconfig" || fail 75 "cannot make $root/etc/guestconfig"
    file=$root/etc/guestconfig/configmeta.json
    # A script may have let other users read it.
    if ! cp -p "$file" "$file.new.$$" 2>/dev/null; then
        (umask 077 && : >"$file.new.$$")
    fi
    if cat common "node.$1" >"$file.new.$$" && mv -f "$file.new.$$" "$file"; then
        replace "$state/meta" <memo || fail 75 "cannot write $state/meta"
    else
        fail 75 "cannot write $file"
    fi
    printf 'generation %s\n' "$found"
}

link() {
    for name in ccli configmacro bdvcli bd_vcli; do
        ln -sf "$1" "$2/$name" 2>/dev/null
    done
    return 0
}

install_configcli() {
    home=$root/usr/local/bin/configcli
    for other in "$home" "$root/usr/bin/configcli"; do
        if [ -f "$other" ] && [ ! -h "$other" ] && ! grep -q windlass-configcli "$other"; then
            # The image has the real one.
            return 0
        fi
    done
    source=$mounted/configcli
    interpreter=
    for name in python3 python python2; do
        if interpreter=$(command -v "$name" 2>/dev/null); then
            break
        fi
    done
    if [ -z "$interpreter" ]; then
        source=$mounted/configcli.sh
        interpreter=/bin/sh
    fi
    mkdir -p "$root/usr/local/bin" || fail 75 "cannot make $root/usr/local/bin"
    {
        printf '#!%s\n' "$interpreter"
        cat "$source"
    } | replace "$home" && chmod 755 "$home" || fail 75 "cannot write $home"
    link "$home" "$root/usr/local/bin"
    if [ "$1" = new ] && [ -d "$root/usr/bin" ]; then
        ln -sf "$home" "$root/usr/bin/configcli" 2>/dev/null
        link "$home" "$root/usr/bin"
    fi
}

install_package() {
    if script=$(startscript); then
        chmod +x "$script"
        return 0
    fi
    archive=$state/package
    rm -rf "$archive" "$state/unpacked"
    fetch "$1" "$archive" || fail 75 "cannot fetch the package $1"
    if [ "$2" != - ]; then
        sum=$(sha256_of "$archive") || exit $?
        wanted=$(printf '%s' "$2" | tr 'A-F' 'a-f')
        [ "$sum" = "$wanted" ] ||
            fail 65 "the package $1 has the SHA-256 $sum, and $wanted was expected"
    fi
    mkdir "$state/unpacked" || fail 75 "cannot make $state/unpacked"
    unpack "$archive" "$state/unpacked" ||
        fail 65 "the package $1 is no tar archive that is compressed with gzip"
    chmod +x "$state/unpacked"/*/startscript 2>/dev/null ||
        fail 65 "the package $1 has no startscript in a directory at its top"
    # What is left of an earlier package goes; the directory with the script comes last, and by a
    # rename: once it is there, all of the package is.
    for old in "$guest"/*; do
        rm -rf "$old"
    done
    for part in "$state/unpacked"/*; do
        [ -f "$part/startscript" ] || mv "$part" "$guest/" || fail 75 "cannot move $part"
    done
    for part in "$state/unpacked"/*/; do
        [ -f "$part/startscript" ] || continue
        mv "${part%/}" "$guest/" || fail 75 "cannot move $part"
    done
    rm -rf "$archive" "$state/unpacked"
}

prepare() {
    [ $# -eq 3 ] || fail 64 "prepare needs LAYOUT SOURCE SHA256"
    make_state
    install_configcli "$1"
    [ "$2" = - ] || install_package "$2" "$3"
    mkdir -p "$root/var/log/guestconfig" || fail 75 "cannot make $root/var/log/guestconfig"
}

inject() {
    [ $# -eq 6 ] || fail 64 "inject needs ID URL DIR MODE OWNER GROUP"
    make_state
    put=$state/inject-$1-$(instance_of "$container")
    [ ! -e "$put" ] || return 0
    name=${2%%[?#]*}
    name=${name##*/}
    [ -n "$name" ] || fail 65 "$2 names no file"
    mkdir -p "$root$3" || fail 65 "cannot make $3"
    file=$root$3/$name
    fetch "$2" "$file.new.$$" || {
        rm -f "$file.new.$$"
        fail 75 "cannot fetch $2"
    }
    [ "$4" = - ] || chmod "$4" "$file.new.$$" || fail 65 "cannot set the mode of $file to $4"
    [ "$5" = - ] || chown "$5" "$file.new.$$" || fail 65 "cannot give $file to the user $5"
    [ "$6" = - ] || chgrp "$6" "$file.new.$$" || fail 65 "cannot give $file to the group $6"
    mv -f "$file.new.$$" "$file" && : >"$put" || fail 75 "cannot write $file"
}

# What keeps systemd from running, as far as it shows from here.
no_systemd() {
    first=$(cat "$root/proc/1/comm" 2>/dev/null)
    case $first in
    systemd | init) ;;
    *)
        printf '%s' "the first process of this container is ${first:-not known}, so that the image, or the command that it is given, starts something else"
        return
        ;;
    esac
    kind=none
    flags=
    own=no
    while read -r _ point type options _; do
        case $point in
        /sys/fs/cgroup)
            kind=$type
            flags=$options
            ;;
        /sys/fs/cgroup/systemd) case $options in rw*) own=yes ;; esac ;;
        esac
    done <"$root/proc/mounts"
    case $kind,$flags,$own in
    none,*) printf '%s' "the node mounts no cgroups in this container" ;;
    cgroup2,ro*) printf '%s' "the node has cgroup v2, and this container may only read it: systemd needs a container runtime that delegates cgroups" ;;
    cgroup2,* | *,yes) printf '%s' "it has its cgroups, and the journal has not come up; systemctl status tells more" ;;
    *) printf '%s' "the node has cgroup v1, and this container may not write to /sys/fs/cgroup/systemd: nativeSystemdSupport: false in the KubeDirectorConfig mounts it" ;;
    esac
}

journald() {
    [ $# -eq 1 ] || fail 64 "journald needs SECONDS"
    end=$(($(now) + $1))
    until systemctl status systemd-journald >/dev/null 2>&1; do
        [ "$(now)" -lt "$end" ] || fail 75 "systemd does not run here: $(no_systemd)"
        nap
    done
}

# The last bytes of a file, in whole lines, behind their number.
tail_of() {
    cut=$hook/tail.$$
    size=0
    [ ! -r "$2" ] || size=$(wc -c <"$2")
    if [ "$size" -gt "$3" ]; then
        tail -c "$3" "$2" >"$cut"
        sed 1d "$cut" >"$cut.lines"
        [ ! -s "$cut.lines" ] || mv -f "$cut.lines" "$cut"
    elif [ "$size" -gt 0 ]; then
        cat "$2" >"$cut"
    else
        : >"$cut"
    fi
    printf '%s %s\n' "$1" "$(($(wc -c <"$cut")))"
    cat "$cut"
    printf '\n'
    rm -f "$cut" "$cut.lines"
}

# The hook itself, in the background. Whoever makes the file `started` is the only one to go on, so it
# does not matter how many of these there are.
hook() {
    trap '' HUP
    (set -C && printf '%s\n' "$container" >"$hook/started") 2>/dev/null || exit 0
    if [ "$memo" = - ]; then
        cp "$state/meta" "$hook/memo"
    else
        printf '%s\n' "$memo" >"$hook/memo"
    fi
    out=$hook/stdout
    err=$hook/stderr
    if [ "$what" = configure ]; then
        out=$guest/configure.stdout
        err=$guest/configure.stderr
        printf '%s=' "$container" >"$guest/configure.status"
    fi
    "$@" </dev/null >"$out" 2>"$err" &
    printf '%s\n' "$!" | replace "$hook/pid"
    wait "$!"
    code=$?
    if [ "$code" -eq 0 ]; then
        replace "$state/told" <"$hook/memo"
    fi
    if [ "$what" = configure ]; then
        printf '%s' "$code" >>"$guest/configure.status"
    fi
    printf '%s\n' "$code" | replace "$hook/status"
}

# Whether the hook was killed together with whoever waits for it.
is_lost() {
    for _ in 1 2 3 4 5; do
        [ -s "$hook/pid" ] && ! kill -0 "$(cat "$hook/pid")" 2>/dev/null || return 1
        nap
        [ ! -e "$hook/status" ] || return 1
    done
}

run() {
    [ $# -ge 7 ] || fail 64 "run needs WHAT ID CONTAINER SECONDS LIMIT MEMO -- ARGUMENTS"
    what=$1
    container=$3
    hook=$state/$2-$(instance_of "$container")
    seconds=$4
    limit=$5
    memo=$6
    shift 7
    make_state
    mkdir -p "$hook" || fail 75 "cannot make $hook"
    if [ ! -e "$hook/started" ]; then
        case $what in
        configure)
            # It ended well in an earlier container, and its directory was kept on storage.
            case $(cat "$guest/configure.status" 2>/dev/null) in
            *=0)
                printf 'restored\nmemo %s\n' "$(cat "$state/told" 2>/dev/null)"
                return 0
                ;;
            esac
            ;;
        esac
        if [ "$what" != command ]; then
            script=$(startscript) || fail 65 "there is no startscript in $guest"
            set -- "$script" "$@"
        fi
        (hook "$@") </dev/null >/dev/null 2>&1 &
    fi
    end=$(($(now) + seconds))
    while [ ! -e "$hook/status" ]; do
        is_lost && printf '137\n' | replace "$hook/status"
        if [ "$(now)" -ge "$end" ]; then
            printf 'running\n'
            return 0
        fi
        nap
    done
    out=$hook/stdout
    err=$hook/stderr
    if [ "$what" = configure ]; then
        out=$guest/configure.stdout
        err=$guest/configure.stderr
    fi
    code=$(cat "$hook/status")
    known=$hook/memo
    # Who asks for this late may find that the member has been told more since.
    [ "$what,$code" != configure,0 ] || known=$state/told
    printf 'done %s\nmemo %s\n' "$code" "$(cat "$known" 2>/dev/null)"
    tail_of stdout "$out" "$limit"
    tail_of stderr "$err" "$limit"
}

# What is asked leaves nothing behind but its answer.
ask() {
    [ $# -ge 5 ] || fail 64 "ask needs WHAT SECONDS LIMIT -- ARGUMENTS"
    what=$1
    seconds=$2
    limit=$3
    shift 4
    if [ "$what" != command ]; then
        script=$(startscript) || fail 65 "there is no startscript in $guest"
        set -- "$script" "$@"
    fi
    make_state
    hook=$state/ask.$$
    mkdir -p "$hook" || fail 75 "cannot make $hook"
    trap 'rm -rf "$hook"' EXIT
    "$@" </dev/null >"$hook/stdout" 2>"$hook/stderr" &
    asked=$!
    end=$(($(now) + seconds))
    while kill -0 "$asked" 2>/dev/null; do
        if [ "$(now)" -gt "$end" ]; then
            kill "$asked" 2>/dev/null
            nap
            kill -9 "$asked" 2>/dev/null
            fail 75 "there was no answer within $seconds s: $(tail_of - "$hook/stderr" "$limit" | sed 1d)"
        fi
        nap
    done
    wait "$asked"
    code=$?
    [ "$code" -eq 0 ] ||
        fail 75 "it ended with $code: $(tail_of - "$hook/stderr" "$limit" | sed 1d)"
    cat "$hook/stdout"
}

# Waits for its children, those that others have left to it, too. Told to end, it tells all others
# first, but only where all others are those of its container.
idle() {
    sleeper=
    trap 'finish' TERM INT
    while :; do
        sleep 3600 >/dev/null 2>&1 &
        sleeper=$!
        wait "$sleeper"
    done
}

finish() {
    trap '' TERM INT
    [ -z "$sleeper" ] || kill "$sleeper" 2>/dev/null
    if [ $$ -eq 1 ]; then
        kill -TERM -1 2>/dev/null
        patience=100
        while [ "$patience" -gt 0 ] && kill -0 -1 2>/dev/null; do
            patience=$((patience - 1))
            nap
        done
    fi
    exit 0
}

container=
enters=
while [ $# -ge 2 ]; do
    case $1 in
    --pod) [ "${WINDLASS_POD_UID-$2}" = "$2" ] || fail 75 "another pod has the name now" ;;
    --enter)
        enters=yes
        container=$2
        ;;
    --container) container=$2 ;;
    *) break ;;
    esac
    shift 2
done
[ -z "$container" ] || be_in "$container"
command=${1-}
[ $# -eq 0 ] || shift
case $command in
meta | prepare | inject | journald | run | ask | idle) "$command" "$@" ;;
*) fail 64 "there is no command '$command'" ;;
esac
