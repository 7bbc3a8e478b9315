#!/usr/bin/env python3
"""Records what a real API server says to definitions with rules and to their objects.

Usage: hack/record-rules.py https://127.0.0.1:6443 TOKEN > crates/apimachinery/testdata/rules.json

Every case is a schema for `spec` and a list of objects: the first is created, each other one
replaces the last that was accepted. Written down are the causes of each refusal.
"""

import json
import ssl
import sys
import time
import urllib.error
import urllib.request

SERVER, TOKEN = sys.argv[1], sys.argv[2]
CONTEXT = ssl._create_unverified_context()


def call(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(SERVER + path, data=data, method=method)
    request.add_header("Authorization", "Bearer " + TOKEN)
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, context=CONTEXT) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        text = error.read()
        try:
            return error.code, json.loads(text)
        except ValueError:
            return error.code, {"message": text.decode()}


INT, STR = {"type": "integer"}, {"type": "string"}
# The real one also estimates what rules may cost, from the sizes that schemas allow.
SHORT = {"type": "string", "maxLength": 20}


def rule(text, **more):
    return {"rule": text, **more}


def spec(properties, *rules, **more):
    return {"type": "object", "properties": properties, "x-kubernetes-validations": list(rules), **more}


def field(schema, *rules):
    return {**schema, "x-kubernetes-validations": list(rules)}


# Schemas of `spec`, with the specs of the objects.
CASES = [
    # Plain rules, their messages and reasons.
    (spec({"min": INT, "max": INT}, rule("self.min <= self.max")), [{"min": 1, "max": 2}, {"min": 3, "max": 2}]),
    (spec({"min": INT, "max": INT}, rule("self.min <= self.max", message="min must not exceed max")), [{"min": 3, "max": 2}]),
    (spec({"min": INT, "max": INT}, rule("self.min <= self.max", messageExpression="self.min > 5 ? 'min is large' : 'min is ' + 'small'")), [{"min": 3, "max": 2}, {"min": 9, "max": 2}]),
    (spec({"min": INT}, rule("self.min > 1", message="fixed", messageExpression="'no ' + self.none")), [{"min": 0}]),
    (spec({"min": INT, "s": STR}, rule("self.min > 1", message="fixed", messageExpression="self.s")), [{"min": 0}, {"min": 0, "s": "  "}, {"min": 0, "s": "said"}, {"min": 0, "s": "a\nb"}]),
    (spec({"min": INT}, rule("self.min > 1", reason="FieldValueForbidden", message="no", fieldPath=".min")), [{"min": 0}]),
    (spec({"min": INT}, rule("self.min > 1", reason="FieldValueRequired", message="no")), [{"min": 0}]),
    (spec({"min": INT}, rule("self.min > 1", reason="FieldValueDuplicate", message="no", fieldPath=".min")), [{"min": 0}]),
    (spec({"min": field(INT, rule("self > 1", message="at least two"))}), [{"min": 0}, {}, {"min": 2}, {"min": 1}]),
    (spec({"s": field(STR, rule("self.startsWith('a')"))}), [{"s": "b"}, {"s": "a"}]),
    (spec({"b": field({"type": "boolean"}, rule("self"))}), [{"b": False}]),
    (spec({"d": field({"type": "number"}, rule("self < 1.5"))}), [{"d": 2}, {"d": 1}, {"d": 1.75}]),
    (spec({"l": field({"type": "array", "items": INT}, rule("self.all(x, x > 0)"))}), [{"l": [1, 0]}, {"l": []}]),
    (spec({"l": {"type": "array", "items": field(INT, rule("self > 0"))}}), [{"l": [1, 0, -1]}]),
    (spec({"m": {"type": "object", "additionalProperties": field(INT, rule("self > 0"))}}), [{"m": {"a": 1, "b": 0}}]),
    (spec({"o": field({"type": "object", "properties": {"a": INT}}, rule("has(self.a)", fieldPath=".a"))}), [{"o": {}}, {"o": {"a": 1}}]),
    (spec({"a-b": INT, "namespace": STR, "x.y": INT}, rule("self.a__dash__b > 0 && self.__namespace__ != '' && self.x__dot__y > 0", fieldPath=".a-b")), [{"a-b": 0, "namespace": "n", "x.y": 1}, {"a-b": 1, "namespace": "n", "x.y": 1}]),
    (spec({"p": {"x-kubernetes-int-or-string": True}}, rule("type(self.p) == int ? self.p > 5 : self.p.endsWith('%')")), [{"p": 6}, {"p": "5%"}, {"p": 5}, {"p": "5"}]),
    (spec({"p": {"x-kubernetes-int-or-string": True}}, rule("self.p > 5", message="over five")), [{"p": "a"}, {"p": 6}]),
    (spec({"t": {"type": "string", "format": "duration"}, "at": {"type": "string", "format": "date-time"}}, rule("self.t > duration('1m') && self.at > timestamp('2020-01-01T00:00:00Z')")), [{"t": "2m", "at": "2021-01-01T00:00:00Z"}, {"t": "30s", "at": "2021-01-01T00:00:00Z"}]),
    (spec({"a": STR}, rule("self.a == 'x'")), [{}, {"a": "x"}]),
    (spec({"l": {"type": "array", "items": INT}}, rule("self.l[1] > 0")), [{"l": [1]}, {"l": [1, 1]}]),
    (spec({"a": INT}, rule("1 / self.a > 0", message="positive")), [{"a": 0}, {"a": 1}]),
    (spec({"a": INT}, rule("self.a > 0"), rule("self.a < 10"), rule("self.a != 5")), [{"a": 5}, {"a": 50}, {"a": 1}]),
    (spec({"a": INT}, rule("self.a > 0"), required=["b"]), [{"a": 0}]),
    (spec({"a": INT}, rule("self.a > 0")), [{"a": "x"}]),
    (spec({"a": {"type": "integer", "minimum": 1}}, rule("self.a > 0")), [{"a": 0}]),
    (spec({"q": STR}, rule("isQuantity(self.q) && quantity(self.q).isLessThan(quantity('1Gi'))")), [{"q": "1Mi"}, {"q": "2Gi"}, {"q": "x"}]),
    (spec({"u": STR}, rule("isURL(self.u) && url(self.u).getScheme() == 'https'")), [{"u": "https://a"}, {"u": "http://a"}, {"u": "a"}]),
    (spec({"i": STR}, rule("!isIP(self.i) || ip(self.i).family() == 4")), [{"i": "10.0.0.1"}, {"i": "::1"}]),
    (spec({"i": STR}, rule("ip(self.i).family() == 4")), [{"i": "zz"}, {"i": "10.0.0.1"}]),
    (spec({"i": STR}, rule("int(self.i) > 4")), [{"i": "x"}, {"i": "5"}]),
    (spec({"i": STR}, rule("double(self.i) > 4.0")), [{"i": "x"}]),
    (spec({"i": STR}, rule("bool(self.i)")), [{"i": "x"}]),
    (spec({"i": STR}, rule("duration(self.i) > duration('1s')")), [{"i": "x"}]),
    (spec({"i": STR}, rule("timestamp(self.i) > timestamp('2020-01-01T00:00:00Z')")), [{"i": "x"}]),
    (spec({"i": STR}, rule("sign(quantity(self.i)) > 0")), [{"i": "x"}, {"i": "-1"}]),
    (spec({"i": STR}, rule("quantity(self.i).sign() > 0")), []),
    (spec({"i": STR}, rule("url(self.i).getHost() != ''")), [{"i": "x"}, {"i": "https://a b"}]),
    (spec({"l": {"type": "array", "maxItems": 5, "items": INT}}, rule("self.l.max() < 5 && self.l.isSorted() && self.l.sum() < 10")), [{"l": []}, {"l": [5]}, {"l": [2, 1]}, {"l": [1, 2]}]),
    (spec({"a": INT}, rule("[1, 'a'].size() > self.a")), []),
    (spec({"a": INT}, rule("self.a > 0 ? 1 : true")), []),
    (spec({"a": INT}, rule("self.a.all(x, x)")), []),
    (spec({"a": INT}, rule("duration('x') > duration('1s')")), []),
    (spec({"a": INT}, rule("has(self)")), []),
    (spec({"a": INT}, rule("self.a && true")), []),
    (spec({"a": INT}, rule("self.a.b > 0")), []),
    (spec({"a": INT}, rule("oldSelf.a == self.a && unknown.x")), []),
    (spec({"s": STR}, rule("self.s.matches('^[a-z]+$')")), [{"s": "A"}, {"s": "a"}]),
    (spec({"l": {"type": "array", "items": STR, "x-kubernetes-list-type": "set"}}, rule("self.l == ['b', 'a']")), [{"l": ["a", "b"]}, {"l": ["b", "a"]}]),
    (spec({"l": {"type": "array", "maxItems": 5, "items": SHORT}}, rule("self.l.exists_one(x, x == 'a') && self.l.map(x, x + 'b').filter(x, x != 'ab').size() < 2")), [{"l": ["a", "a"]}, {"l": ["a", "c"]}]),
    # Transition rules.
    (spec({"a": field(STR, rule("self == oldSelf", message="immutable"))}), [{"a": "x"}, {"a": "y"}, {"a": "x"}, {}, {"a": "y"}]),
    (spec({"a": INT}, rule("self.a >= oldSelf.a")), [{"a": 5}, {"a": 4}, {"a": 6}]),
    (spec({"a": field(INT, rule("oldSelf.hasValue() ? self >= oldSelf.value() : self == 0", optionalOldSelf=True))}), [{"a": 1}, {"a": 0}, {"a": -1}, {"a": 2}]),
    (spec({"l": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": field({"type": "object", "required": ["k"], "properties": {"k": STR, "v": INT}}, rule("self.v >= oldSelf.v"))}}), [{"l": [{"k": "a", "v": 2}, {"k": "b", "v": 2}]}, {"l": [{"k": "b", "v": 1}, {"k": "a", "v": 2}]}, {"l": [{"k": "c", "v": 1}, {"k": "b", "v": 3}]}]),
    (spec({"m": {"type": "object", "additionalProperties": field(INT, rule("self >= oldSelf"))}}), [{"m": {"a": 2}}, {"m": {"a": 1, "b": 1}}, {"m": {"b": 1}}]),
    (spec({"a": STR}, rule("!has(oldSelf.a) || has(self.a)", message="a may not be removed")), [{"a": "x"}, {}, {"a": "y"}]),
    # Rules that cannot be.
    (spec({"a": INT}, rule("self.b > 0")), []),
    (spec({"a": INT}, rule("self.a")), []),
    (spec({"a": INT}, rule("self.a > 'x'")), []),
    (spec({"a": INT}, rule("")), []),
    (spec({"a": INT}, rule("self.a > 0", message=" ")), []),
    (spec({"a": INT}, rule("self.a > 0", message="a\nb")), []),
    (spec({"a": INT}, rule("self.a > 0\n && true")), []),
    (spec({"a": INT}, rule("self.a > 0", reason="Bad")), []),
    (spec({"a": INT}, rule("self.a > 0", fieldPath=".b")), []),
    (spec({"a": INT}, rule("self.a > 0", fieldPath="a")), []),
    (spec({"a": INT}, rule("self.a > 0", messageExpression="self.a")), []),
    (spec({"a": INT}, rule("self.a > 0", messageExpression="self.b")), []),
    (spec({"a": INT}, rule("self.a > 0", optionalOldSelf=True)), []),
    (spec({"l": {"type": "array", "maxItems": 5, "items": field(INT, rule("self == oldSelf"))}}), []),
    (spec({"l": {"type": "array", "maxItems": 5, "items": INT}}, rule("self.l.all(x, y > 0)")), []),
    (spec({"a": STR}, rule("self.a.startsWith(1)")), []),
    (spec({"a": STR}, rule("self.a == null")), []),
    (spec({"a": STR}, rule("self.a.matches('(')")), []),
    (spec({"a": STR}, rule("has(self.b)")), []),
    (spec({"a": STR}, rule("nope(self.a)")), []),
    (spec({"a": INT, "b": STR}, rule("self.a > 0", message="x", messageExpression="'%s %d'.format([self.b, self.a])")), [{"a": 0, "b": "x"}]),
    (spec({"o": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"a": INT}}}, rule("self.o.b == 1")), []),
    (spec({"o": {"x-kubernetes-preserve-unknown-fields": True}}, rule("has(self.o)")), []),
    (spec({"o": {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}}, rule("self.o.kind == 'Pod' && self.o.metadata.name != ''")), [{"o": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}}}, {"o": {"apiVersion": "v1", "kind": "Job", "metadata": {"name": "x"}}}]),
]

# The same for rules at the root.
ROOTS = [
    (rule("self.metadata.name.startsWith('rule')"), [{}]),
    (rule("self.metadata.name == 'other'", message="wrong name"), [{}]),
    (rule("self.metadata.name == 'other'", message="wrong name", fieldPath=".spec.a"), [{}]),
    (rule("self.spec.a == oldSelf.spec.a"), [{"a": 1}, {"a": 2}]),
    (rule("self.metadata.labels.size() == 0"), []),
    (rule("self.kind == 'Case' && self.apiVersion == 'rules.example.com/v1'"), [{"a": 1}]),
]


def record(number, schema, specs):
    plural = f"cases{number}"
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": plural + ".rules.example.com"},
        "spec": {
            "group": "rules.example.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": "Case" if number >= 1000 else f"Case{number}"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    case = {"schema": schema, "refused": [], "steps": []}
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    code, answer = call("POST", path, definition)
    if code != 201:
        case["refused"] = answer["details"]["causes"]
        return case
    objects = f"/apis/rules.example.com/v1/namespaces/default/{plural}"
    for _ in range(100):
        code, _ = call("GET", objects)
        if code == 200:
            break
        time.sleep(0.1)
    live = None
    for body in specs:
        value = {
            "apiVersion": "rules.example.com/v1",
            "kind": definition["spec"]["names"]["kind"],
            "metadata": {"name": "rule"},
            "spec": body,
        }
        if live is None:
            for _ in range(50):
                code, answer = call("POST", objects, value)
                if code != 404:
                    break
                time.sleep(0.1)
        else:
            value["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
            code, answer = call("PUT", objects + "/rule", value)
        step = {"spec": body, "causes": []}
        if code < 300:
            live = answer
        else:
            step["causes"] = answer["details"]["causes"]
        case["steps"].append(step)
    call("DELETE", path + "/" + plural + ".rules.example.com")
    return case


CALLS = []
for index, (schema, specs) in enumerate(CASES):
    CALLS.append((index, {"type": "object", "properties": {"spec": schema}}, specs))
for index, (root, specs) in enumerate(ROOTS):
    whole = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": INT}}}}
    CALLS.append((1000 + index, {**whole, "x-kubernetes-validations": [root]}, specs))
print("[")
for index, (number, schema, specs) in enumerate(CALLS):
    print(json.dumps(record(number, schema, specs)) + ("," if index + 1 < len(CALLS) else ""))
print("]")
