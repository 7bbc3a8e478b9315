# windlass-configcli: what configcli.py answers, for images without Python. It needs a shell, and any awk; whoever
# installs it puts the line with the shell before this one.
dir=${WINDLASS_ROOT-}/etc/guestconfig
asked=${0##*/}
[ "$asked" != configmacro ] || set -- macro "$@"
refuse() {
    printf 'configcli: %s\n' "$*" >&2
    exit 1
}

# What to do is told in a list of words, one a line.
words() { printf '%s\n' "$@"; }
plan=
case ${1-} in
-v | --version) echo 1.0 && exit ;;
-g | --get) [ $# -eq 2 ] && plan=$(words get "$2") ;;
--get=*) plan=$(words get "${1#--get=}") ;;
--get_local_group_fqdns | --get_all_fqdns) plan=$(words "${1#--}") ;;
--get_nodegroup_fqdns) [ $# -eq 2 ] && plan=$(words get_nodegroup_fqdns "$2") ;;
--tenant_info) plan=$(words get tenant) ;;
--tenant_info_lookup) [ $# -eq 2 ] && plan=$(words get "tenant.$2") ;;
--service_key | --unregister_srvc | --tokenwake)
    echo "configcli: nobody looks after services here, so nothing was registered" >&2
    exit
    ;;
namespace) [ $# -ge 2 ] && plan=$(words get "$2${3:+.$3}") ;;
ccli) [ "${2-}" = version ] && echo 1.0 && exit ;;
baseimg | --baseimg_version)
    cat "$dir/base_img_version" 2>/dev/null || refuse "the image does not say what version it is"
    exit
    ;;
macro)
    case ${2-}:${3-} in
    node:--get_self_index | node:--get_self_id) plan=$(words "${3#--}") ;;
    node:--get_index | node:--get_id) [ $# -eq 4 ] && plan=$(words "${3#--}" "$4") ;;
    nodegroup:--num_nodegroups | nodegroup:--get_local_group_fqdns | nodegroup:--get_all_fqdns)
        plan=$(words "${3#--}")
        ;;
    nodegroup:--get_nodegroup_fqdns) [ $# -eq 4 ] && plan=$(words get_nodegroup_fqdns "$4") ;;
    esac
    ;;
esac
[ -n "$plan" ] || refuse "cannot do this without Python in the image: $*"
[ -r "$dir/configmeta.json" ] || refuse "$dir/configmeta.json cannot be read"

export LC_ALL=C PLAN="$plan"
exec awk '
function refuse(why) {
    print "configcli: " why | "cat >&2"
    close("cat >&2")
    refused = 1
    exit 1
}

# The file is read as a tree: what is at a place is in `kind` and `shown`, the keys of objects and the elements
# of lists are counted in `size`. Objects in a list become one, with the fields of all.
function here() {
    while (index(" \t\r\n", substr(text, at, 1)) && at <= length_of_text) at++
    return substr(text, at, 1)
}
function read_value(place,   sign, begin) {
    sign = here()
    if (sign == "{") { read_object(place); return }
    if (sign == "[") { read_list(place); return }
    if (sign == "\"") { kind[place] = "text"; shown[place] = read_text(); return }
    begin = at
    while (at <= length_of_text && !index(",]} \t\r\n", substr(text, at, 1))) at++
    shown[place] = substr(text, begin, at - begin)
    kind[place] = "other"
    if (shown[place] == "null") shown[place] = ""
}
function read_object(place,   key) {
    kind[place] = "object"
    at++
    while (here() != "}") {
        if (at > length_of_text) refuse("configmeta.json ends early")
        key = read_text()
        if (here() == ":") at++
        if (!((place SUBSEP key) in kind)) keys[place, ++size[place]] = key
        read_value(place SUBSEP key)
        if (here() == ",") at++
    }
    at++
}
function read_list(place,   count) {
    kind[place] = "list"
    at++
    while (here() != "]") {
        if (at > length_of_text) refuse("configmeta.json ends early")
        if (here() == "{") read_object(place)
        else {
            count = ++size[place]
            read_value(place SUBSEP "\001" count)
            keys[place, count] = shown[place SUBSEP "\001" count]
        }
        if (here() == ",") at++
    }
    at++
}
function read_text(   said, sign, begin) {
    at++
    said = ""
    begin = at
    while ((sign = substr(text, at, 1)) != "\"") {
        if (at > length_of_text) refuse("configmeta.json ends early")
        if (sign == "\\") {
            said = said substr(text, begin, at - begin) escaped(substr(text, ++at, 1))
            begin = at + 1
        }
        at++
    }
    said = said substr(text, begin, at - begin)
    at++
    return said
}
function escaped(sign,   digits, number, i) {
    if (sign == "n") return "\n"
    if (sign == "t") return "\t"
    if (sign == "r") return "\r"
    if (sign == "b") return "\b"
    if (sign == "f") return "\f"
    if (sign != "u") return sign
    digits = tolower(substr(text, at + 1, 4))
    at += 4
    for (i = 1; i <= 4; i++) number = number * 16 + index("0123456789abcdef", substr(digits, i, 1)) - 1
    if (number < 128) return sprintf("%c", number)
    if (number < 2048) return sprintf("%c%c", 192 + int(number / 64), 128 + number % 64)
    return sprintf("%c%c%c", 224 + int(number / 4096), 128 + int(number / 64) % 64, 128 + number % 64)
}

# The place that a path leads to; references on its way are followed.
function find(path,   whole, hops, place, left, part, i) {
    whole = path
    gsub(SUBSEP, ".", whole)
    for (hops = 0; hops <= 16; hops++) {
        left = split(path, part, SUBSEP)
        place = ""
        for (i = 1; i <= left && !((place SUBSEP "bdvlibrefkey") in kind); i++) {
            if (!((place SUBSEP part[i]) in kind)) refuse("there is nothing at " whole)
            place = place SUBSEP part[i]
        }
        if (!((place SUBSEP "bdvlibrefkey") in kind)) return place
        path = joined(place SUBSEP "bdvlibrefkey", SUBSEP)
        for (; i <= left; i++) path = path SUBSEP part[i]
    }
    refuse("references lead in a circle")
}
function joined(place, between,   all, i) {
    for (i = 1; i <= size[place]; i++) all = all (i > 1 ? between : "") keys[place, i]
    return all
}
function answer(place) { return kind[place] == "object" || kind[place] == "list" ? joined(place, ",") : shown[place] }

function fqdns(groups,   all, roles, i, j, k, name, seen, count, group) {
    count = split(groups, group, ",")
    for (i = 1; i <= count; i++) {
        if (!(("" SUBSEP "nodegroups" SUBSEP group[i]) in kind)) refuse("there is no node group " group[i])
        roles = "" SUBSEP "nodegroups" SUBSEP group[i] SUBSEP "roles"
        for (j = 1; j <= size[roles]; j++)
            for (k = 1; k <= size[roles, keys[roles, j], "fqdns"]; k++) {
                name = keys[roles SUBSEP keys[roles, j] SUBSEP "fqdns", k]
                if (!(name in seen)) { all = all (all == "" ? "" : ",") name; seen[name] }
            }
    }
    return all
}
# The number of a member, and its place among those of all.
function id(name,   groups, roles, i, j) {
    if (name == "") return shown[find("node" SUBSEP "id")]
    groups = "" SUBSEP "nodegroups"
    for (i = 1; i <= size[groups]; i++) {
        roles = groups SUBSEP keys[groups, i] SUBSEP "roles"
        for (j = 1; j <= size[roles]; j++)
            if ((roles SUBSEP keys[roles, j] SUBSEP "fqdn_mappings" SUBSEP name) in kind)
                return shown[roles SUBSEP keys[roles, j] SUBSEP "fqdn_mappings" SUBSEP name]
    }
    refuse("there is no member " name)
}
function number_of(text) { sub(/^.*[^0-9]/, "", text); return text + 0 }
function place_of(own,   groups, roles, i, j, k, before) {
    groups = "" SUBSEP "nodegroups"
    for (i = 1; i <= size[groups]; i++) {
        roles = groups SUBSEP keys[groups, i] SUBSEP "roles"
        for (j = 1; j <= size[roles]; j++)
            for (k = 1; k <= size[roles SUBSEP keys[roles, j] SUBSEP "node_ids"]; k++)
                before += number_of(keys[roles SUBSEP keys[roles, j] SUBSEP "node_ids", k]) < number_of(own)
    }
    return before + 0
}

{ text = text $0 "\n" }
END {
    if (refused) exit 1
    length_of_text = length(text)
    at = 1
    read_value("")
    split(ENVIRON["PLAN"], word, "\n")
    if (word[1] == "get") {
        gsub(/\./, SUBSEP, word[2])
        print answer(find(word[2]))
    }
    if (word[1] == "get_all_fqdns") print fqdns(joined("" SUBSEP "nodegroups", ","))
    if (word[1] == "get_local_group_fqdns") print fqdns(shown[find("node" SUBSEP "nodegroup_id")])
    if (word[1] == "get_nodegroup_fqdns") print fqdns(word[2])
    if (word[1] == "num_nodegroups") print size["" SUBSEP "nodegroups"] + 0
    if (word[1] ~ /^get_(self_)?id$/) print id(word[2])
    if (word[1] ~ /^get_(self_)?index$/) print place_of(id(word[2]))
}' "$dir/configmeta.json"
