use serde_json::json;

use super::*;

fn compiled(spec: Value) -> StructuralSchema {
    let schema = json!({"type": "object", "properties": {"spec": spec}});
    StructuralSchema::compile(&schema, "s").unwrap()
}

fn complaints(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn values_are_refused_in_the_words_of_the_api_server() {
    let schema = compiled(json!({
        "type": "object",
        "required": ["must"],
        "properties": {
            "must": {"type": "string"},
            "count": {"type": "integer", "minimum": 1, "maximum": 5},
            "mode": {"type": "string", "enum": ["B", "A"]},
            "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 3, "minLength": 2},
            "port": {"x-kubernetes-int-or-string": true},
            "when": {"type": "string", "format": "date-time"},
            "list": {"type": "array", "maxItems": 2, "items": {"type": "string"}},
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "keyed": {
                "type": "array", "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "properties": {"name": {"type": "string"}}},
            },
            "map": {"type": "object", "additionalProperties": {"type": "integer"}},
            "either": {
                "type": "object",
                "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
            },
            "ratio": {"type": "number", "multipleOf": 0.5, "exclusiveMinimum": true, "minimum": 0},
        },
    }));
    let table: &[(Value, &[&str])] = &[
        (
            json!({"must": "x", "count": 1.0, "port": 1, "ratio": 2}),
            &[],
        ),
        (json!({}), &["spec.must: Required value"]),
        (
            json!({"must": 1}),
            &[
                "spec.must: Invalid value: \"integer\": spec.must in body must be of type string: \
               \"integer\"",
            ],
        ),
        (
            json!({"must": "x", "count": 0}),
            &[
                "spec.count: Invalid value: 0: spec.count in body should be greater than or equal \
               to 1",
            ],
        ),
        (
            json!({"must": "x", "count": 1.5}),
            &[
                "spec.count: Invalid value: \"number\": spec.count in body must be of type integer: \
               \"number\"",
            ],
        ),
        (
            json!({"must": "x", "mode": "C"}),
            &["spec.mode: Unsupported value: \"C\": supported values: \"B\", \"A\""],
        ),
        (
            json!({"must": "x", "name": "LONG"}),
            &["spec.name: Too long: may not be more than 3 bytes"],
        ),
        (
            json!({"must": "x", "name": "a"}),
            &["spec.name: Invalid value: \"a\": spec.name in body should be at least 2 chars long"],
        ),
        (
            json!({"must": "x", "port": true}),
            &[
                "spec.port: Invalid value: \"boolean\": spec.port in body must be of type \
               integer,string: \"boolean\"",
            ],
        ),
        (
            json!({"must": "x", "when": "noon"}),
            &[
                "spec.when: Invalid value: \"noon\": spec.when in body must be of type date-time: \
               \"noon\"",
            ],
        ),
        (
            json!({"must": "x", "list": ["a", "b", 1]}),
            &[
                "spec.list: Too many: 3: must have at most 2 items",
                "spec.list[2]: Invalid value: \"integer\": spec.list[2] in body must be of type \
                 string: \"integer\"",
            ],
        ),
        (
            json!({"must": "x", "set": ["a", "a"]}),
            &["spec.set[1]: Duplicate value: \"a\""],
        ),
        (
            json!({"must": "x", "keyed": [{"name": "a"}, {"name": "a"}]}),
            &["spec.keyed[1]: Duplicate value: {\"name\":\"a\"}"],
        ),
        (
            json!({"must": "x", "map": {"k": "v"}}),
            &[
                "spec.map.k: Invalid value: \"string\": spec.map.k in body must be of type integer: \
               \"string\"",
            ],
        ),
        (
            json!({"must": "x", "either": {"a": "1", "b": "2"}}),
            &[
                "<nil>: Invalid value: \"\": \"spec.either\" must validate one and only one schema \
               (oneOf). Found 2 valid alternatives",
            ],
        ),
        (
            json!({"must": "x", "ratio": 0}),
            &["spec.ratio: Invalid value: 0: spec.ratio in body should be greater than 0"],
        ),
    ];
    for (spec, expected) in table {
        let found = complaints(&schema.validate(&json!({"metadata": {"name": "a"}, "spec": spec})));
        assert_eq!(found, *expected, "{spec}");
    }
}

#[test]
fn unchanged_mistakes_do_not_block_an_update() {
    let schema = compiled(json!({
        "type": "object",
        "properties": {"a": {"type": "integer", "maximum": 1}, "b": {"type": "string"}},
    }));
    let old = json!({"spec": {"a": 5, "b": "x"}});
    assert!(
        schema
            .validate_update(&json!({"spec": {"a": 5, "b": "y"}}), &old)
            .is_empty()
    );
    assert_eq!(
        schema
            .validate_update(&json!({"spec": {"a": 6, "b": "x"}}), &old)
            .len(),
        1
    );
}

#[test]
fn pruning_drops_what_is_not_declared() {
    let schema = compiled(json!({
        "type": "object",
        "properties": {
            "known": {"type": "string"},
            "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
            "free": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                "properties": {"strict": {"type": "object"}},
            },
            "any": {"type": "object", "additionalProperties": true},
            "template": {
                "type": "object", "x-kubernetes-embedded-resource": true,
                "properties": {"spec": {"type": "object"}},
            },
        },
    }));
    let mut object = json!({
        "apiVersion": "v1", "kind": "K", "metadata": {"name": "n", "odd": 1}, "extra": 1,
        "spec": {
            "known": "x", "unknown": 1,
            "list": [{"a": "1"}, {"b": "2"}],
            "free": {"x": 1, "strict": {"y": 1}},
            "any": {"x": {"y": 1}},
            "template": {"apiVersion": "v1", "kind": "P", "metadata": {}, "z": 1},
        },
    });
    assert_eq!(
        schema.prune(&mut object),
        [
            "extra",
            "spec.free.strict.y",
            "spec.list[1].b",
            "spec.template.z",
            "spec.unknown"
        ]
    );
    assert_eq!(
        object,
        json!({
            "apiVersion": "v1", "kind": "K", "metadata": {"name": "n", "odd": 1},
            "spec": {
                "known": "x", "list": [{"a": "1"}, {}], "free": {"x": 1, "strict": {}},
                "any": {"x": {"y": 1}},
                "template": {"apiVersion": "v1", "kind": "P", "metadata": {}},
            },
        })
    );
    assert!(
        schema.prune(&mut object).is_empty(),
        "pruning twice drops nothing more"
    );
}

#[test]
fn defaults_fill_absent_and_null_fields() {
    let schema = compiled(json!({
        "type": "object",
        "default": {},
        "properties": {
            "a": {"type": "integer", "default": 1},
            "nullable": {"type": "string", "nullable": true, "default": "d"},
            "plain": {"type": "string"},
            "items": {"type": "array", "items": {
                "type": "object", "properties": {"p": {"type": "string", "default": "TCP"}},
            }},
        },
    }));
    let table = [
        (json!({}), json!({"spec": {"a": 1, "nullable": "d"}})),
        (
            json!({"spec": {"a": null, "nullable": null, "plain": null, "items": [{}]}}),
            json!({"spec": {"a": 1, "nullable": null, "items": [{"p": "TCP"}]}}),
        ),
    ];
    for (mut object, expected) in table {
        schema.default(&mut object);
        assert_eq!(object, expected);
        schema.default(&mut object);
        assert_eq!(object, expected, "defaulting twice changes nothing");
    }
}

#[test]
fn a_schema_that_is_not_structural_is_refused() {
    let object = |property: Value| json!({"type": "object", "properties": {"p": property}});
    let table: Vec<(Value, &str)> = vec![
        (
            json!({"properties": {}}),
            "s.type: Required value: must not be empty at the root",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            "s.type: Invalid value: \"array\": must be object at the root",
        ),
        (
            object(json!({})),
            "s.properties[p].type: Required value: must not be empty for specified object fields",
        ),
        (
            object(json!({"type": "array"})),
            "s.properties[p].items: Required value: must be specified",
        ),
        (
            object(json!({"type": "array", "items": {}})),
            "s.properties[p].items.type: Required value: must not be empty for specified array \
             items",
        ),
        (
            object(json!({"type": "string", "anyOf": [{"type": "integer"}, {"description": "x"}]})),
            "s.properties[p].anyOf[1].description: Forbidden: must be empty to be structural",
        ),
        (
            object(
                json!({"type": "object", "properties": {"a": {"type": "string"}},
                "additionalProperties": {"type": "string"}}),
            ),
            "s.properties[p].additionalProperties: Forbidden: additionalProperties and properties \
             are mutual exclusive",
        ),
        (
            object(json!({"type": "integer", "default": "x"})),
            "s.properties[p].default: Invalid value: \"string\": s.properties[p].default in body \
             must be of type integer: \"string\"",
        ),
        (
            object(json!({"type": "object", "default": {"x": 1}})),
            "s.properties[p].default: Invalid value: {\"x\":1}: must not have unknown fields",
        ),
        (
            object(json!({"type": "array", "x-kubernetes-list-type": "map",
                "items": {"type": "object", "properties": {"a": {"type": "string"}}},
                "x-kubernetes-list-map-keys": ["b"]})),
            "s.properties[p].x-kubernetes-list-map-keys: Invalid value: [\"b\"]: entries must all \
             be names of item properties",
        ),
        (
            json!({"type": "object", "properties": {"metadata": {"type": "object",
                "properties": {"labels": {"type": "object"}}}}}),
            "s.properties[metadata]: Forbidden: must not specify anything other than name and \
             generateName, but metadata is implicitly specified",
        ),
        (
            object(json!({"type": "string", "pattern": "("})),
            "s.properties[p].pattern: Invalid value: \"(\": must be a valid regular expression",
        ),
    ];
    for (schema, expected) in table {
        let errors = complaints(&StructuralSchema::compile(&schema, "s").unwrap_err());
        assert!(
            errors.iter().any(|error| error.starts_with(expected)),
            "{schema}: {errors:?}"
        );
    }
    let int_or_string = object(json!({
        "x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}],
    }));
    assert!(StructuralSchema::compile(&int_or_string, "s").is_ok());
}

#[test]
fn formats_accept_and_refuse() {
    for (format, good, bad) in [
        ("duration", "1h30m", "1x"),
        ("duration", "3 days", ""),
        ("ipv4", "10.0.0.1", "10.0.0"),
        ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123"),
        ("byte", "AAAA", "A"),
        ("date", "2024-01-31", "2024-13-01"),
        ("email", "a@b.c", "a"),
        ("uri", "http://x", "x"),
        ("mac", "00:11:22:33:44:55", "00:11"),
    ] {
        assert!(formats::matches(format, good), "{format} {good}");
        assert!(!formats::matches(format, bad), "{format} {bad}");
    }
    assert!(formats::matches("no such format", "anything"));
}

/// What a real API server said to definitions with rules, and to their objects
/// (`hack/record-rules.py`).
#[test]
fn rules_say_what_those_of_a_real_server_say() {
    let recorded = include_str!("../../testdata/rules.json");
    let cases: Vec<Value> = serde_json::from_str(recorded).unwrap();
    assert!(cases.len() > 80);
    let causes = |errors: &[FieldError]| -> Vec<Value> {
        let mut causes: Vec<Value> = errors.iter().map(FieldError::cause).collect();
        causes.sort_by_key(ToString::to_string);
        causes
    };
    let sorted = |value: &Value| -> Vec<Value> {
        let mut causes = value.as_array().unwrap().clone();
        causes.sort_by_key(ToString::to_string);
        causes
    };
    let mut wrong = Vec::new();
    for case in &cases {
        let path = "spec.validation.openAPIV3Schema";
        let schema = match StructuralSchema::compile(&case["schema"], path) {
            Ok(schema) => schema,
            Err(errors) => {
                if causes(&errors) != sorted(&case["refused"]) {
                    wrong.push(format!("{case:#}\ngot {:#?}", causes(&errors)));
                }
                continue;
            }
        };
        if !sorted(&case["refused"]).is_empty() {
            wrong.push(format!("{case:#}\nwas accepted"));
            continue;
        }
        let mut live: Option<Value> = None;
        for step in case["steps"].as_array().unwrap() {
            let object = json!({
                "apiVersion": "rules.example.com/v1",
                "kind": "Case",
                "metadata": {"name": "rule"},
                "spec": step["spec"],
            });
            let errors = match &live {
                None => schema.validate(&object),
                Some(old) => schema.validate_update(&object, old),
            };
            if causes(&errors) != sorted(&step["causes"]) {
                wrong.push(format!(
                    "{}\n{step:#}\ngot {:#?}",
                    case["schema"],
                    causes(&errors)
                ));
            }
            if errors.is_empty() {
                live = Some(object);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_schema_without_rules_is_not_walked_for_them() {
    let schema = StructuralSchema::compile(
        &json!({"type": "object", "properties": {"spec": {"type": "object"}}}),
        "",
    );
    assert!(!schema.unwrap().root.has_rules);
}
