use serde_json::{Value as Json, json};

use super::*;

fn object() -> Type {
    Type::object([
        ("replicas".to_owned(), Type::Int),
        ("name".to_owned(), Type::String),
        ("ratio".to_owned(), Type::Double),
        ("port".to_owned(), Type::Dyn),
        ("namespace".to_owned(), Type::String),
        ("max-size".to_owned(), Type::Int),
        ("tags".to_owned(), Type::list(Type::String)),
        ("labels".to_owned(), Type::map(Type::String, Type::String)),
        ("timeout".to_owned(), Type::Duration),
        ("since".to_owned(), Type::Timestamp),
        (
            "parts".to_owned(),
            Type::list(Type::object([
                ("name".to_owned(), Type::String),
                ("size".to_owned(), Type::Int),
            ])),
        ),
    ])
}

fn document() -> Json {
    json!({
        "replicas": 3,
        "name": "web",
        "ratio": 1,
        "port": "80%",
        "namespace": "default",
        "max-size": 9,
        "tags": ["b", "a"],
        "labels": {"app": "x", "a/b": "y"},
        "timeout": "1h30m",
        "since": "2026-01-02T03:04:05Z",
        "parts": [{"name": "p", "size": 1}, {"name": "q", "size": 2}],
    })
}

fn run(source: &str) -> Result<String, String> {
    let of = object();
    let document = document();
    let program = Program::compile(source, &[("self", of.clone())])?;
    let mut work = Work::new(100_000);
    let value = program
        .run([("self", Value::lift(&document, &of))], &mut work)
        .map_err(|error| error.to_string())?;
    Ok(match value {
        Value::Bool(truth) => truth.to_string(),
        Value::Str(text) => text.into_owned(),
        other => format!("{other:?}"),
    })
}

#[test]
fn expressions_have_values() {
    let true_ones = [
        "self.replicas == 3 && self.replicas > 2 && self.replicas <= 3",
        "1 + 2 * 3 - 4 / 2 == 5 && 7 % 4 == 3 && -2 < -1",
        "self.ratio == 1.0 && self.ratio < 2",
        "self.__namespace__ == 'default' && self.max__dash__size == 9",
        "size(self.tags) == 2 && self.tags.size() == 2 && size(self.name) == 3",
        "has(self.name) && !has(self.labels.none) && has(self.labels.app)",
        "self.labels['a/b'] == 'y' && 'app' in self.labels && !('z' in self.labels)",
        "'a' in self.tags && self.tags[0] == 'b'",
        "self.tags.all(t, t.size() == 1) && self.tags.exists(t, t == 'a')",
        "self.tags.exists_one(t, t == 'a')",
        "self.parts.map(p, p.size) == [1, 2] && self.parts.map(p, p.size > 1, p.name) == ['q']",
        "self.parts.filter(p, p.size > 1).size() == 1",
        "self.labels.all(k, k.size() < 4) && self.labels.exists(k, self.labels[k] == 'y')",
        "self.labels.all(k, v, v.size() == 1) && self.tags.exists(i, t, i == 1 && t == 'a')",
        "self.tags.transformList(i, t, t + string(i)) == ['b0', 'a1']",
        "self.labels.transformMap(k, v, v + k)['app'] == 'xapp'",
        "type(self.port) == string && self.port.matches(r'^\\d+%$')",
        "type(self.port) == int ? self.port < 5 : int(self.port.replace('%', '')) == 80",
        "self.timeout == duration('90m') && self.timeout.getHours() == 1",
        "self.since > timestamp('2026-01-01T00:00:00Z') && self.since.getFullYear() == 2026",
        "self.since.getDayOfWeek() == 5 && self.since.getHours('+02:00') == 5",
        "self.since + duration('1h') - self.since == duration('3600s')",
        "'Hello'.lowerAscii() == 'hello' && ' a '.trim() == 'a' && 'a-b'.split('-') == ['a', 'b']",
        "['a', 'b'].join('-') == 'a-b' && 'abc'.substring(1) == 'bc' && 'abc'.charAt(1) == 'b'",
        "'tacocat'.indexOf('c') == 2 && 'tacocat'.lastIndexOf('c') == 4",
        "'a%s has %d and %.1f'.format(['b', 3, 1.25]) == 'ab has 3 and 1.2'",
        "'abc 123'.find('[0-9]+') == '123' && '1 2 3'.findAll('[0-9]', 2) == ['1', '2']",
        "[1, 2, 3].isSorted() && [1, 2].sum() == 3 && [2, 1].min() == 1 && [2, 1].max() == 2",
        "[1, 2].indexOf(2) == 1 && [1, 1].lastIndexOf(1) == 1 && [1, 1].distinct() == [1]",
        "[3, 1].sort() == [1, 3] && [[1], [2]].flatten() == [1, 2] && [1, 2].reverse() == [2, 1]",
        "sets.contains([1, 2], [2]) && sets.intersects([1], [1, 2]) && !sets.equivalent([1], [2])",
        "quantity('1Gi').isGreaterThan(quantity('1G')) && isQuantity('20') && !isQuantity('x')",
        "quantity('50k').add(20).asInteger() == 50020 && quantity('1').compareTo(quantity('1000m')) == 0",
        "isURL('https://a.b:80/c?d=e') && url('https://a.b:80/c?d=e').getHost() == 'a.b:80'",
        "url('https://[::1]:80/c?d=e').getHostname() == '::1' && url('https://a/c').getPort() == ''",
        "url('https://a/c?k=1&k=2').getQuery()['k'] == ['1', '2'] && !isURL('a.b')",
        "ip('10.0.0.1').family() == 4 && isIP('::1') && !isIP('x') && ip.isCanonical('::1')",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3') && cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')",
        "isCIDR('10.0.0.0/8') && cidr('10.1.0.0/8').masked().ip() == ip('10.0.0.0')",
        "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.2.3-a').compareTo(semver('1.2.3')) == -1",
        "isSemver('v1.0', true) && !isSemver('v1.0') && semver('1.2.3').minor() == 2",
        "!format.dns1123Label().validate('a-b').hasValue()",
        "format.dns1123Label().validate('A').value().size() == 1",
        "self.?name.orValue('x') == 'web' && self.labels[?'none'].orValue('x') == 'x'",
        "optional.none().orValue(1) == 1 && optional.of(1).optMap(x, x + 1).value() == 2",
        "[?optional.none(), ?optional.of(1)] == [1] && {?'a': optional.of(1)} == {'a': 1}",
        "optional.ofNonZeroValue('').hasValue() == false",
        "(1 / 0 == 1 || true) && !(1 / 0 == 1 && false)",
        "[0, 1].exists(x, 2 / x == 2)",
        "b'abc'.size() == 3 && bytes('a') == b'a' && string(b'a') == 'a'",
        "'\\u00e9' == 'é' && 'a\\nb'.size() == 3 && r'\\n'.size() == 2 && '''a'b''' == \"a'b\"",
        "0x10 == 16 && 1u + 2u == 3u && 1e3 == 1000.0 && 1 < 2u && 2.5 > 2",
        "string(1) + string(1.5) + string(true) + string(duration('90s')) == '11.5true90s'",
        "int('12') == 12 && double('1.5') == 1.5 && uint(3) == 3u && bool('true') && int(2.9) == 2",
        "{'a': 1}.a == 1 && {'a': 1}['a'] == 1 && {} == {} && [] == []",
        "self.parts == [self.parts[0], self.parts[1]]",
        "dyn(1) == 1.0 && type(1) == int && type(self.timeout) == google.protobuf.Duration",
        "[1, 2, 3].slice(1, 3) == [2, 3] && lists.range(3) == [0, 1, 2]",
    ];
    for source in true_ones {
        assert_eq!(run(source).as_deref(), Ok("true"), "{source}");
    }
}

#[test]
fn expressions_go_wrong_while_they_run() {
    let cases = [
        ("1 / 0 == 1", "division by zero"),
        ("1 % 0 == 1", "modulus by zero"),
        ("self.labels['none'] == 'x'", "no such key: none"),
        ("self.tags[5] == 'x'", "index out of bounds: 5"),
        ("9223372036854775807 + 1 > 0", "integer overflow"),
        ("self.port > 5", "no such overload"),
        (
            "int('x') == 1",
            "type conversion error from 'string' to 'int'",
        ),
        (
            "optional.none().value() == 1",
            "optional.none() dereference",
        ),
        ("[].max() == 1", "max called on empty list"),
        ("'a'.substring(3) == ''", "index out of range: 3"),
        (
            "lists.range(1000).all(a, lists.range(1000).all(b, a + b >= 0))",
            "operation cancelled: actual cost limit exceeded",
        ),
    ];
    for (source, expected) in cases {
        assert_eq!(run(source), Err(expected.to_owned()), "{source}");
    }
}

#[test]
fn expressions_that_cannot_work_are_refused() {
    let cases = [
        (
            "self.none == 1",
            "ERROR: <input>:1:5: undefined field 'none'\n | self.none == 1\n | ....^",
        ),
        (
            "self.replicas == 'a'",
            "ERROR: <input>:1:15: found no matching overload for '_==_' applied to '(int, \
             string)'\n | self.replicas == 'a'\n | ..............^",
        ),
        (
            "slf.name == ''",
            "ERROR: <input>:1:1: undeclared reference to 'slf' (in container '')\n | slf.name == \
             ''\n | ^",
        ),
        (
            "self.name.startsWith(1)",
            "ERROR: <input>:1:21: found no matching overload for 'startsWith' applied to \
             'string.(int)'\n | self.name.startsWith(1)\n | ....................^",
        ),
        (
            "self.replicas.all(x, true)",
            "ERROR: <input>:1:5: expression of type 'int' cannot be range of a comprehension \
             (must be list, map, or dynamic)\n | self.replicas.all(x, true)\n | ....^",
        ),
        (
            "nope(self.name)",
            "ERROR: <input>:1:5: undeclared reference to 'nope' (in container '')\n | \
             nope(self.name)\n | ....^",
        ),
        (
            "[1, 'a'] == []",
            "ERROR: <input>:1:5: expected type 'int' but found 'string'\n | [1, 'a'] == []\n | \
             ....^",
        ),
        (
            "has(self)",
            "ERROR: <input>:1:5: invalid argument to has() macro\n | has(self)\n | ....^",
        ),
        (
            "true &&\n self.name.matches('(')",
            "ERROR: <input>:2:20: invalid matches argument\n |  self.name.matches('(')\n | \
             ...................^",
        ),
        (
            "self.name.first.second == ''",
            "ERROR: <input>:1:10: type 'string' does not support field selection\n | \
             self.name.first.second == ''\n | .........^",
        ),
    ];
    for (source, expected) in cases {
        assert_eq!(run(source), Err(expected.to_owned()), "{source}");
    }
    for source in [
        "self.", "(1", "1 +", "'abc", "[1,", "a b", "", "1 ? 2", "{'a'}", "&",
    ] {
        let refused = run(source).unwrap_err();
        assert!(refused.contains("Syntax error"), "{source}: {refused}");
    }
}

#[test]
fn long_and_deep_expressions_do_no_harm() {
    let chain = vec!["self.replicas > 0"; 2000].join(" && ");
    assert_eq!(run(&chain).as_deref(), Ok("true"));
    for deep in [
        format!("{}1{} == 1", "(".repeat(5000), ")".repeat(5000)),
        format!("{}true", "!".repeat(5000)),
        format!("self{} == 1", ".a".repeat(5000)),
        format!("{}1 == 1", "1 + ".repeat(5000)),
        "[".repeat(5000),
    ] {
        let refused = run(&deep).unwrap_err();
        assert!(
            refused.contains("recursion limit exceeded"),
            "{}",
            &refused[..80]
        );
    }
}

#[test]
fn lists_with_an_identity_are_compared_and_added_by_it() {
    let item = Type::object([
        ("name".to_owned(), Type::String),
        ("size".to_owned(), Type::Int),
    ]);
    let list = |identity| {
        Type::List(
            ListType {
                items: item.clone(),
                identity,
            }
            .into(),
        )
    };
    let a = json!([{"name": "a", "size": 1}, {"name": "b", "size": 2}]);
    let b = json!([{"name": "b", "size": 2}, {"name": "a", "size": 1}]);
    let cases = [
        (Identity::Place, "self == other", "false"),
        (Identity::Value, "self == other", "true"),
        (
            Identity::Keys(vec!["name".to_owned()]),
            "self == other",
            "true",
        ),
        (
            Identity::Keys(vec!["name".to_owned()]),
            "size(self + other) == 2",
            "true",
        ),
        (Identity::Place, "size(self + other) == 4", "true"),
    ];
    for (identity, source, expected) in cases {
        let of = list(identity);
        let names = [("self", of.clone()), ("other", of.clone())];
        let program = Program::compile(source, &names).unwrap();
        let values = [
            ("self", Value::lift(&a, &of)),
            ("other", Value::lift(&b, &of)),
        ];
        let value = program.run(values, &mut Work::new(1000)).unwrap();
        let truth = matches!(value, Value::Bool(true));
        assert_eq!(truth.to_string(), expected, "{source}");
    }
}
