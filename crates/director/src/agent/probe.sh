#!/usr/bin/env bash
# Whether all services of a member serve, started by its kubelet as its readiness probe:
#
#   sh /opt/windlass/probe [NAME SECONDS KIND COUNT ARGUMENT...]...
#
# one group for each check: NAME of the service, SECONDS it has for its answer, its KIND, and so many
# arguments. The checks run beside each other.
#
#   tcp 1 PORT                   the port takes connections
#   http 3 SCHEME PORT PATH      a page answers with a status from 200 to 399
#   grpc 2 PORT SERVICE          the health service of gRPC says SERVING; "" asks about the server
#   exec N COMMAND...            a command ends with 0
#
# It ends with 0 when all hold. Otherwise it writes which did not, and why, which the kubelet puts into
# an event. What speaks TCP is bash itself; https alone needs curl. Nothing is written to any file.
if [ "${1-}" != --in-bash ]; then
    # Any shell gets here, and none reads on.
    if command -v bash >/dev/null 2>&1; then
        exec bash "$0" --in-bash "$@"
    fi
    echo "the image has no bash, which the healthChecks of several services in one role need"
    exit 1
fi
shift
# Lengths are those of bytes.
export LC_ALL=C

# A kubelet asks at this address, too; services need not be bound to another one.
host=${POD_IP:-127.0.0.1}
case $host in
*[!0-9a-fA-F.:]*) host=127.0.0.1 ;;
esac
case $host in
*:*) named="[$host]" ;;
*) named=$host ;;
esac

# --- one check; each runs in a shell of its own and says one line -----------------------------------

# Leaves a check that does not hold.
no() {
    printf 'no %s %s\n' "$index" "$*"
    exit 0
}

connect() {
    { exec 4<>"/dev/tcp/$host/$1"; } 2>/dev/null || no "port $1 takes no connections"
}

check_tcp() {
    connect "$1"
}

check_http() {
    scheme=$1 port=$2 path=$3 status=
    if [ "$scheme" = https ]; then
        command -v curl >/dev/null 2>&1 || no "https needs curl, which the image does not have"
        # What does not answer has the status 000.
        status=$(curl -q --noproxy '*' -gks -o /dev/null -w '%{http_code}' "https://$named:$port$path")
    else
        connect "$port"
        printf 'GET %s HTTP/1.1\r\nHost: %s:%s\r\nUser-Agent: windlass-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n' \
            "$path" "$named" "$port" >&4
        read -r _ status _ <&4
    fi
    status=${status%$'\r'}
    case $status in
    [23][0-9][0-9]) ;;
    [1-9][0-9][0-9]) no "$scheme://$named:$port$path answers with $status" ;;
    *) no "$scheme://$named:$port$path gives no answer that is HTTP" ;;
    esac
}

# The bytes of these numbers.
bytes() {
    local number text=
    for number; do
        printf -v number '\\x%02x' "$number"
        text+=$number
    done
    # shellcheck disable=SC2059
    printf "$text"
}

# A length as protobuf writes it.
length() {
    local left=$1
    while ((left > 127)); do
        bytes $((left & 127 | 128))
        left=$((left >> 7))
    done
    bytes "$left"
}

# The head of a frame of HTTP/2: LENGTH TYPE FLAGS STREAM.
frame() {
    bytes $(($1 >> 16)) $(($1 >> 8 & 255)) $(($1 & 255)) "$2" "$3" 0 0 0 "$4"
}

# Reads so many bytes as numbers.
take() {
    taken=()
    local left=$1 byte
    while ((left-- > 0)); do
        IFS= read -r -d '' -n 1 -u 4 byte || return 1
        # What is empty was the byte 0.
        printf -v byte '%d' "'$byte"
        taken+=($((byte & 255)))
    done
}

# The call Check of grpc.health.v1.Health, on the first stream of a connection that is used for nothing else.
check_grpc() {
    local port=$1 service=$2 size
    connect "$port"
    local path=/grpc.health.v1.Health/Check type=application/grpc authority=$named:$port
    # Each header as a literal that nobody has to remember, but for those that every decoder knows.
    local headers=$((2 + 2 + ${#path} + 2 + ${#authority} + 3 + ${#type} + 13))
    local query=0
    if [ -n "$service" ]; then
        size=$(length ${#service} | wc -c)
        query=$((1 + size + ${#service}))
    fi
    {
        printf 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
        frame 0 4 0 0
        frame "$headers" 1 4 1
        bytes 0x83 0x86 0x04 ${#path} && printf %s "$path"
        bytes 0x01 ${#authority} && printf %s "$authority"
        bytes 0x0f 0x10 ${#type} && printf %s "$type"
        bytes 0x00 2 && printf te && bytes 8 && printf trailers
        frame $((5 + query)) 0 1 1
        bytes 0 0 0 $((query >> 8)) $((query & 255))
        if [ -n "$service" ]; then
            bytes 0x0a && length ${#service} && printf %s "$service"
        fi
    } >&4
    local of="${service:-the server}"
    while take 9; do
        local length=$((taken[0] << 16 | taken[1] << 8 | taken[2])) kind=${taken[3]} flags=${taken[4]}
        local stream=${taken[8]}
        take "$length" || break
        case $kind,$stream in
        0,1)
            # Behind the five bytes of a message: the first field, which nobody writes when it is 0.
            case ${taken[5]-},${taken[6]-} in
            8,1) return 0 ;;
            8,2) no "gRPC says of $of: NOT_SERVING" ;;
            8,3) no "gRPC says of $of: SERVICE_UNKNOWN" ;;
            *) no "gRPC says of $of: UNKNOWN" ;;
            esac
            ;;
        # The stream ends with the reason why there is no message.
        1,1) ((flags & 1)) && no "gRPC on port $port has no health service, or does not know of $of" ;;
        3,1 | 7,*) no "gRPC on port $port refuses the call" ;;
        esac
    done
    no "port $port gives no answer that is gRPC"
}

check_exec() {
    local told code
    told=$("$@" 2>&1 </dev/null)
    code=$?
    # The last line says most, and one line is all there is room for.
    told=${told##*$'\n'}
    ((code == 0)) || no "$1 ended with $code${told:+: ${told:0:200}}"
}

# --- all of them -----------------------------------------------------------------------------------

names=() limits=() kinds=() counts=() arguments=()
while (($# >= 4)); do
    names+=("$1") limits+=("$2") kinds+=("$3") counts+=("$4")
    count=$4
    shift 4
    arguments+=("${@:1:count}")
    shift "$count"
done

begin() {
    # Each is a process group, so that it can be ended with all that it has started.
    set -m
    local first=0 index
    for index in "${!names[@]}"; do
        (
            trap '' PIPE
            printf 'began %s %s\n' "$index" "$BASHPID"
            "check_${kinds[index]}" "${arguments[@]:first:counts[index]}"
            printf 'yes %s\n' "$index"
        ) &
        first=$((first + counts[index]))
    done
    wait
}

groups=() open=("${names[@]}") told=() left=${#names[@]} start=$SECONDS
# In the order in which they are given, so that the same troubles are the same event.
close() {
    unset "open[$1]"
    left=$((left - 1))
    [ -z "$2" ] || told[$1]="${names[$1]}: $2"
}
exec 3< <(begin 2>/dev/null)
while ((left > 0)); do
    if read -r -t 1 -u 3 word index rest; then
        case $word in
        began) groups[index]=$rest ;;
        # One that was late has been told as such.
        yes | no) [ -z "${open[index]-}" ] || close "$index" "$rest" ;;
        esac
    elif (($? <= 128)); then
        for index in "${!open[@]}"; do close "$index" "the check was ended"; done
        break
    fi
    for index in "${!open[@]}"; do
        # Whole seconds: no check has less than it was given.
        if ((SECONDS - start > limits[index])); then
            close "$index" "no answer within ${limits[index]} s"
            [ -z "${groups[index]-}" ] || kill -KILL -- "-${groups[index]}" 2>/dev/null
        fi
    done
done
((${#told[@]} > 0)) || exit 0
(IFS=$'\n' && printf '%s\n' "${told[*]}")
exit 1
