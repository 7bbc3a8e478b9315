# windlass-configcli: answers what setup scripts ask about their cluster, as KubeDirector's configcli
# does. It reads /etc/guestconfig/configmeta.json and runs with any Python from 2.7 on; whoever
# installs it puts the line with the interpreter before this one.
from __future__ import print_function

import argparse
import json
import os
import sys

VERSION = "1.0"
ROOT = os.environ.get("WINDLASS_ROOT", "")
FOLDER = ROOT + "/etc/guestconfig/"
REFERENCE = "bdvlibrefkey"
MOST_REFERENCES = 16

try:
    TEXT = (str, unicode)
except NameError:
    TEXT = (str,)


class Refusal(Exception):
    pass


def load():
    with open(FOLDER + "configmeta.json") as file:
        meta = json.load(file)
    # What others of this family of tools leave for root.
    for name in (".platform.json", ".priv_configmeta.json"):
        if os.getuid() == 0 and os.access(FOLDER + name, os.R_OK):
            with open(FOLDER + name) as file:
                meta.update(json.load(file))
    return meta


def merged(value):
    """A list of objects is one object with the fields of all."""
    if isinstance(value, list) and value and all(isinstance(it, dict) for it in value):
        one = {}
        for it in value:
            one.update(it)
        return one
    return value


def is_reference(value):
    return isinstance(value, dict) and isinstance(value.get(REFERENCE), list)


def find(meta, path):
    for _ in range(MOST_REFERENCES + 1):
        here, rest = meta, list(path)
        while rest and not is_reference(here):
            if not isinstance(here, dict) or rest[0] not in here:
                raise Refusal("there is nothing at " + ".".join(path))
            here = merged(here[rest.pop(0)])
        if not is_reference(here):
            return here
        path = here[REFERENCE] + rest
    raise Refusal("references lead in a circle")


def shown(value):
    if isinstance(value, dict):
        return ",".join(value)
    if isinstance(value, list):
        if not all(isinstance(it, TEXT) for it in value):
            raise Refusal("the list has more than texts")
        return ",".join(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, TEXT) or isinstance(value, int):
        return value
    raise Refusal("there is no text for " + repr(value))


def get(key):
    return find(load(), key.split("."))


def roles_of(meta, group):
    groups = meta.get("nodegroups", {})
    if group not in groups:
        raise Refusal("there is no node group " + group)
    return groups[group].get("roles", {}).values()


def all_roles(meta):
    return [role for group in meta.get("nodegroups", {}) for role in roles_of(meta, group)]


def fqdns(roles):
    found = []
    for role in roles:
        for name in role.get("fqdns", []):
            if name not in found:
                found.append(name)
    return found


def local_group_fqdns():
    meta = load()
    return fqdns(roles_of(meta, find(meta, ["node", "nodegroup_id"])))


def trailing_number(text):
    return int(text[len(text.rstrip("0123456789")):] or 0)


def node_id(meta, fqdn):
    if fqdn is None:
        return find(meta, ["node", "id"])
    for role in all_roles(meta):
        if fqdn in role.get("fqdn_mappings", {}):
            return role["fqdn_mappings"][fqdn]
    raise Refusal("there is no member " + fqdn)


def node_index(meta, fqdn):
    ids = [it for role in all_roles(meta) for it in role.get("node_ids", [])]
    return str(sorted(ids, key=trailing_number).index(node_id(meta, fqdn)))


def base_image_version():
    try:
        with open(FOLDER + "base_img_version") as file:
            return file.read().strip()
    except IOError:
        raise Refusal("the image does not say what version it is")


def macro(arguments):
    parser = argparse.ArgumentParser(prog="configmacro")
    kinds = parser.add_subparsers(dest="kind")
    node = kinds.add_parser("node", help="members")
    node.add_argument("--get_self_index", action="store_true")
    node.add_argument("--get_self_id", action="store_true")
    node.add_argument("--get_index", metavar="FQDN")
    node.add_argument("--get_id", metavar="FQDN")
    group = kinds.add_parser("nodegroup", help="groups of members")
    group.add_argument("--num_nodegroups", action="store_true")
    group.add_argument("--get_local_group_fqdns", action="store_true")
    group.add_argument("--get_nodegroup_fqdns", metavar="NODEGROUP_ID")
    group.add_argument("--get_all_fqdns", action="store_true")
    given = parser.parse_args(arguments)
    if given.kind == "node":
        if given.get_self_index:
            return node_index(load(), None)
        if given.get_self_id:
            return node_id(load(), None)
        if given.get_index is not None:
            return node_index(load(), given.get_index)
        if given.get_id is not None:
            return node_id(load(), given.get_id)
    elif given.kind == "nodegroup":
        if given.num_nodegroups:
            return len(load().get("nodegroups", {}))
        if given.get_local_group_fqdns:
            return local_group_fqdns()
        if given.get_nodegroup_fqdns is not None:
            return fqdns(roles_of(load(), given.get_nodegroup_fqdns))
        if given.get_all_fqdns:
            return fqdns(all_roles(load()))
    parser.error("say what to get")


def instruction(words):
    kind, rest = words[0], words[1:]
    if kind == "macro":
        return macro(rest)
    if kind == "namespace" and rest:
        return get(".".join(it for it in rest if it))
    if words == ["ccli", "version"]:
        return VERSION
    if words == ["baseimg", "version"]:
        return base_image_version()
    raise Refusal("there is no command " + " ".join(words))


def options(arguments):
    parser = argparse.ArgumentParser(
        prog="configcli",
        description="Answers what scripts ask about the cluster that this member is of. Also: "
        "configcli namespace NAME [KEY], configcli macro node|nodegroup OPTION, "
        "configcli ccli version, configcli baseimg version.",
    )
    parser.add_argument("-v", "--version", action="store_true", help="the version of configcli")
    parser.add_argument("--baseimg_version", action="store_true", help="the version of the image")
    parser.add_argument("-g", "--get", metavar="KEY", help="what is at a key such as node.role_id")
    parser.add_argument("--get_local_group_fqdns", action="store_true",
                        help="the names of all members in the group of this one")
    parser.add_argument("--get_nodegroup_fqdns", metavar="NODEGROUP_ID",
                        help="the names of all members of a group")
    parser.add_argument("--get_all_fqdns", action="store_true", help="the names of all members")
    parser.add_argument("--tenant_info", action="store_true", help="what is known of the tenant")
    parser.add_argument("--tenant_info_lookup", metavar="KEY", help="one thing about the tenant")
    # Options for an agent that KubeDirector does not have either. What only tells that agent
    # something succeeds, since scripts call it on their way; what needs it fails.
    for flag in ("--service_key", "--systemv", "--systemctl", "--unregister_srvc", "--tokenwake"):
        parser.add_argument(flag, metavar="NAME", help=argparse.SUPPRESS)
    for flag in ("--success", "--error", "--cp", "--execute"):
        parser.add_argument(flag, action="store_true", help=argparse.SUPPRESS)
    for flag in ("-w --wait", "--tokenwait", "--fqdn", "-t --timeout", "--node", "--src", "--dest",
                 "--perms", "--remote_node", "--script"):
        parser.add_argument(*flag.split(), metavar="VALUE", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.version:
        return VERSION
    if given.baseimg_version:
        return base_image_version()
    if given.get is not None:
        return get(given.get)
    if given.get_local_group_fqdns:
        return local_group_fqdns()
    if given.get_nodegroup_fqdns is not None:
        return fqdns(roles_of(load(), given.get_nodegroup_fqdns))
    if given.get_all_fqdns:
        return fqdns(all_roles(load()))
    if given.tenant_info:
        return get("tenant")
    if given.tenant_info_lookup is not None:
        return get("tenant." + given.tenant_info_lookup)
    if given.service_key or given.unregister_srvc or given.tokenwake:
        print("configcli: nobody looks after services here, so nothing was registered",
              file=sys.stderr)
        return None
    if given.wait or given.tokenwait or given.cp or given.execute:
        raise Refusal("this needs an agent beside the member, and there is none")
    parser.print_help(sys.stderr)
    raise SystemExit(2)


def main():
    arguments = sys.argv[1:]
    if os.path.basename(sys.argv[0]) == "configmacro":
        answer = macro(arguments)
    elif arguments and not arguments[0].startswith("-"):
        answer = instruction(arguments)
    else:
        answer = options(arguments)
    print(shown(answer))


if __name__ == "__main__":
    try:
        main()
    except (Refusal, IOError, ValueError) as error:
        print("configcli: %s" % error, file=sys.stderr)
        raise SystemExit(1)
