use serde_json::json;

use super::*;
use crate::schema;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn actor(manager: &str, second: i64) -> Actor {
    Actor::new(manager, "v1", at(second))
}

fn config_map(data: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "m", "namespace": "n"}, "data": data,
    })
}

fn schema() -> TypeSchema {
    schema::builtin("", "v1", "ConfigMap").unwrap()
}

/// Managers and what they own, for reading.
fn owners(object: &Value) -> Vec<String> {
    let entries = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    entries
        .into_iter()
        .flatten()
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap_or_default();
            let set = Set::decode(&entry["fieldsV1"]).unwrap();
            let paths: Vec<String> = set
                .paths()
                .iter()
                .map(|path| path.iter().map(ToString::to_string).collect())
                .collect();
            format!(
                "{} {} {} {}",
                text("manager"),
                text("operation"),
                text("time").get(17..).unwrap_or("-"),
                paths.join(" ")
            )
        })
        .collect()
}

#[test]
fn applying_creates_keeps_and_removes_fields() {
    let schema = schema();
    let first = apply(
        None,
        &config_map(json!({"a": "1", "b": "1"})),
        &schema,
        &actor("x", 0),
        false,
    )
    .unwrap();
    assert_eq!(first["data"], json!({"a": "1", "b": "1"}));
    assert_eq!(owners(&first), ["x Apply 20Z .data.a .data.b"]);

    let again = apply(
        Some(&first),
        &config_map(json!({"a": "1", "b": "1"})),
        &schema,
        &actor("x", 5),
        false,
    )
    .unwrap();
    assert_eq!(
        again, first,
        "the same apply changes nothing, not even a time stamp"
    );

    let other = apply(
        Some(&first),
        &config_map(json!({"b": "1", "c": "1"})),
        &schema,
        &actor("y", 6),
        false,
    )
    .unwrap();
    let dropped = apply(
        Some(&other),
        &config_map(json!({})),
        &schema,
        &actor("x", 7),
        false,
    )
    .unwrap();
    assert_eq!(
        dropped["data"],
        json!({"b": "1", "c": "1"}),
        "b is still owned by y"
    );
    assert_eq!(
        owners(&dropped),
        ["y Apply 26Z .data.b .data.c", "x Apply 27Z .data"]
    );
}

#[test]
fn changing_what_another_owns_is_a_conflict() {
    let schema = schema();
    let live = update(
        None,
        &config_map(json!({"a": "1", "b": "1"})),
        &schema,
        &actor("up", 0),
    );
    assert_eq!(owners(&live), ["up Update 20Z .data .data.a .data.b"]);
    let config = config_map(json!({"a": "2"}));
    let error = apply(Some(&live), &config, &schema, &actor("x", 1), false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"up\" using v1: .data.a"
    );
    let both = config_map(json!({"a": "2", "b": "2"}));
    let error = apply(Some(&live), &both, &schema, &actor("x", 1), false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 2 conflicts: conflicts with \"up\" using v1:\n- .data.a\n- .data.b"
    );
    let forced = apply(Some(&live), &config, &schema, &actor("x", 1), true).unwrap();
    assert_eq!(forced["data"], json!({"a": "2", "b": "1"}));
    assert_eq!(
        owners(&forced),
        ["x Apply 21Z .data.a", "up Update 20Z .data .data.b"]
    );
    let shared = config_map(json!({"a": "1"}));
    let agreed = apply(Some(&live), &shared, &schema, &actor("x", 1), false).unwrap();
    assert_eq!(
        owners(&agreed),
        ["x Apply - .data.a", "up Update 20Z .data .data.a .data.b"],
        "two managers may agree on a value"
    );
}

#[test]
fn updates_take_what_they_change() {
    let schema = schema();
    let live = apply(
        None,
        &config_map(json!({"a": "1", "b": "1"})),
        &schema,
        &actor("x", 0),
        false,
    )
    .unwrap();
    let mut new = live.clone();
    new["data"] = json!({"a": "2", "c": "1"});
    let updated = update(Some(&live), &new, &schema, &actor("up", 9));
    assert_eq!(owners(&updated), ["up Update 29Z .data.a .data.c"]);
    let mut touched = updated.clone();
    touched["metadata"]["resourceVersion"] = "7".into();
    let same = update(Some(&updated), &touched, &schema, &actor("up", 30));
    assert_eq!(same, touched, "server-written metadata is owned by nobody");
    let mut reset = updated.clone();
    reset["metadata"]["managedFields"] = json!([]);
    let reset = update(Some(&updated), &reset, &schema, &actor("up", 30));
    assert!(reset.pointer("/metadata/managedFields").is_none());
}

#[test]
fn keyed_lists_merge_and_shrink_by_owner() {
    let schema = schema::builtin("", "v1", "Pod").unwrap();
    let pod = |containers: Value| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
            "spec": {"containers": containers},
        })
    };
    let a = json!({"name": "a", "image": "i", "ports": [{"containerPort": 80}]});
    let b = json!({"name": "b", "image": "j"});
    let live = apply(None, &pod(json!([a, b])), &schema, &actor("x", 0), false).unwrap();
    assert_eq!(
        live["metadata"]["managedFields"][0]["fieldsV1"],
        json!({"f:spec": {"f:containers": {
            "k:{\"name\":\"a\"}": {
                ".": {}, "f:image": {}, "f:name": {},
                "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":
                    {".": {}, "f:containerPort": {}}},
            },
            "k:{\"name\":\"b\"}": {".": {}, "f:image": {}, "f:name": {}},
        }}})
    );
    let sidecar = json!({"name": "c", "image": "k"});
    let live = apply(
        Some(&live),
        &pod(json!([sidecar])),
        &schema,
        &actor("y", 1),
        false,
    )
    .unwrap();
    let names = |pod: &Value| -> Vec<String> {
        let containers = pod["spec"]["containers"].as_array().unwrap();
        containers
            .iter()
            .map(|c| c["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&live), ["a", "b", "c"]);
    let live = apply(
        Some(&live),
        &pod(json!([b])),
        &schema,
        &actor("x", 2),
        false,
    )
    .unwrap();
    assert_eq!(names(&live), ["b", "c"]);
    let error = apply(
        Some(&live),
        &pod(json!([{"name": "c", "image": "other"}])),
        &schema,
        &actor("x", 3),
        false,
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"y\": .spec.containers[name=\"c\"].image"
    );
}

#[test]
fn reset_fields_are_owned_through_their_subresource_only() {
    let schema = schema::builtin("", "v1", "Pod").unwrap();
    let mut live = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"nodeName": "n"}, "status": {"phase": "Pending"}});
    live = update(
        None,
        &live,
        &schema,
        &actor("client", 0).resetting(["status"]),
    );
    assert_eq!(owners(&live), ["client Update 20Z .spec.nodeName"]);
    let mut new = live.clone();
    new["status"]["phase"] = "Running".into();
    let live = update(
        Some(&live),
        &new,
        &schema,
        &actor("kubelet", 1).through("status"),
    );
    assert_eq!(
        live["metadata"]["managedFields"][1]["subresource"],
        "status"
    );
    let config = json!({"apiVersion": "v1", "kind": "Pod", "status": {"phase": "Failed"}});
    let error = apply(
        Some(&live),
        &config,
        &schema,
        &actor("x", 2).through("status"),
        false,
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"kubelet\" with subresource \"status\" using \
         v1: .status.phase"
    );
}

#[test]
fn a_bad_configuration_is_refused_with_its_field() {
    let schema = schema::builtin("apps", "v1", "Deployment").unwrap();
    let actor = Actor::new("x", "apps/v1", at(0));
    let config = |spec: Value| json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec});
    let table = [
        (
            config(json!({"foo": 1})),
            "(/; apps/v1, Kind=Deployment): .spec.foo: field not declared in schema",
        ),
        (
            config(json!({"replicas": "1"})),
            "(/; apps/v1, Kind=Deployment): .spec.replicas: expected numeric (int or float), got \
             string",
        ),
        (
            config(json!({"template": {"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}})),
            "(/; apps/v1, Kind=Deployment): .spec.template.spec.containers: duplicate entries for key [name=\"a\"]",
        ),
    ];
    for (config, message) in table {
        assert_eq!(
            apply(None, &config, &schema, &actor, false),
            Err(ApplyError::Typed(message.to_owned()))
        );
    }
    let mut other = config(json!({}));
    other["apiVersion"] = "apps/v2".into();
    assert!(matches!(
        apply(None, &other, &schema, &actor, false),
        Err(ApplyError::BadRequest(_))
    ));
}

#[test]
fn the_first_apply_of_an_untracked_object_names_its_past() {
    let schema = schema();
    let live = config_map(json!({"a": "1"}));
    let applied = apply(
        Some(&live),
        &config_map(json!({"b": "1"})),
        &schema,
        &actor("x", 0),
        false,
    )
    .unwrap();
    assert_eq!(
        owners(&applied),
        [
            "x Apply 20Z .data.b",
            "before-first-apply Update 20Z .data .data.a"
        ]
    );
}

#[test]
fn kubectl_may_change_what_its_last_apply_set() {
    let schema = schema();
    let mut live = config_map(json!({"a": "1", "b": "1"}));
    live["metadata"]["annotations"] = json!({
        LAST_APPLIED_KEY: config_map(json!({"a": "1", "b": "0"})).to_string(),
    });
    let live = update(None, &live, &schema, &actor("kubectl-client-side-apply", 0));
    let config = config_map(json!({"a": "2", "b": "1"}));
    let applied = apply(Some(&live), &config, &schema, &actor("kubectl", 1), false).unwrap();
    assert_eq!(applied["data"]["a"], "2");
    let recorded = applied
        .pointer(LAST_APPLIED)
        .and_then(Value::as_str)
        .unwrap();
    assert_eq!(serde_json::from_str::<Value>(recorded).unwrap(), config);
    let config = config_map(json!({"a": "1", "b": "2"}));
    assert!(apply(Some(&live), &config, &schema, &actor("kubectl", 1), false).is_err());
}

#[test]
fn old_updaters_are_folded_into_one() {
    let schema = schema();
    let mut live = update(
        None,
        &config_map(json!({"k0": "0"})),
        &schema,
        &actor("m0", 0),
    );
    for number in 1..=13 {
        let mut new = live.clone();
        new["data"][format!("k{number}")] = "x".into();
        live = update(
            Some(&live),
            &new,
            &schema,
            &actor(&format!("m{number}"), number),
        );
    }
    let owners = owners(&live);
    assert_eq!(owners.len(), MAX_UPDATERS);
    assert_eq!(
        owners[0],
        "ancient-changes Update 24Z .data .data.k0 .data.k1 .data.k2 .data.k3 .data.k4"
    );
}

#[test]
fn unknown_kinds_merge_by_key_and_replace_lists() {
    let schema = schema::deduced();
    let object = |spec: Value| json!({"apiVersion": "v1", "kind": "K", "spec": spec});
    let live = apply(
        None,
        &object(json!({"a": {"b": 1}, "l": [1]})),
        &schema,
        &actor("x", 0),
        false,
    )
    .unwrap();
    let live = apply(
        Some(&live),
        &object(json!({"a": {"c": 2}})),
        &schema,
        &actor("y", 0),
        false,
    )
    .unwrap();
    assert_eq!(live["spec"], json!({"a": {"b": 1, "c": 2}, "l": [1]}));
    let error = apply(
        Some(&live),
        &object(json!({"l": [2]})),
        &schema,
        &actor("y", 0),
        false,
    );
    assert!(error.is_err());
    let live = apply(
        Some(&live),
        &object(json!({"l": [1]})),
        &schema,
        &actor("x", 0),
        false,
    )
    .unwrap();
    assert_eq!(live["spec"], json!({"a": {"c": 2}, "l": [1]}));
}

mod laws {
    use proptest::prelude::*;

    use super::*;

    fn data() -> impl Strategy<Value = Value> {
        proptest::collection::btree_map("[a-d]", "[0-2]", 0..4).prop_map(|map| json!(map))
    }

    fn apply_as(live: Option<&Value>, data: &Value, who: &str) -> Value {
        apply(
            live,
            &config_map(data.clone()),
            &schema(),
            &actor(who, 0),
            true,
        )
        .unwrap()
    }

    proptest! {
        #[test]
        fn applying_twice_is_applying_once(a in data(), b in data()) {
            let live = apply_as(None, &a, "x");
            let once = apply_as(Some(&live), &b, "y");
            prop_assert_eq!(&apply_as(Some(&once), &b, "y"), &once);
        }

        #[test]
        fn a_lone_applier_gets_what_it_asks_for(a in data(), b in data()) {
            let live = apply_as(None, &a, "x");
            let live = apply_as(Some(&live), &b, "x");
            let empty = json!({});
            prop_assert_eq!(live.get("data").unwrap_or(&empty), &b);
        }

        #[test]
        fn every_field_that_is_set_has_an_owner(a in data(), b in data(), c in data()) {
            let live = apply_as(None, &a, "x");
            let mut new = live.clone();
            new["data"] = b;
            let live = update(Some(&live), &new, &schema(), &actor("up", 1));
            let live = apply_as(Some(&live), &c, "y");
            let owned = owners(&live).join(" ");
            for key in live["data"].as_object().into_iter().flatten().map(|(key, _)| key) {
                let path = format!(".data.{}", key);
                prop_assert!(owned.contains(&path), "{} in {}", path, owned);
            }
        }
    }
}

/// Every step of upstream's own tests, one by one: same object, same owners, same conflicts.
#[test]
fn recorded_steps_of_structured_merge_give_the_same_outcome() {
    let text = zstd::decode_all(&include_bytes!("../../testdata/structured-merge.json.zst")[..]);
    let recorded: Value = serde_json::from_slice(&text.unwrap()).unwrap();
    let schemas = recorded["schemas"].as_array().unwrap();
    let steps = recorded["steps"].as_array().unwrap();
    let mut tried = 0;
    let mut failures = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let applies = step["op"] == "apply";
        let manager = step["manager"].as_str().unwrap();
        let version = step["version"].as_str().unwrap();
        // Upstream knows managers by name alone; here applying and updating are told apart.
        let own = &step["before"][manager];
        if own.is_object() && (own["applied"] != applies || own["version"] != version) {
            continue;
        }
        tried += 1;
        let types = schemas[step["schema"].as_u64().unwrap() as usize]
            .as_array()
            .unwrap();
        let schema = schema::recorded::from_structured_merge(types, step["type"].as_str().unwrap());
        let actor = Actor::new(manager, version, at(0));
        let base = match &step["live"] {
            Value::Null => json!({}),
            live => live.clone(),
        };
        let managers = recorded_managers(&step["before"]);
        let force = step["force"] == true;
        let outcome = if applies {
            apply_to(&base, &step["object"], &schema, &actor, force, managers)
        } else {
            let mut managers = managers;
            record_update(&base, &step["object"], &schema, &actor, &mut managers);
            Ok((step["object"].clone(), managers))
        };
        let complaint = match (outcome, step.get("conflicts")) {
            (Err(ApplyError::Conflicts(found)), Some(expected)) => {
                let mut found: Vec<&str> = found.iter().map(|c| c.field.as_str()).collect();
                let mut wanted: Vec<&str> = expected
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter_map(|text| text.as_str().unwrap().split_once(' ').map(|(_, p)| p))
                    .collect();
                found.sort_unstable();
                wanted.sort_unstable();
                (found != wanted).then(|| format!("conflicts {found:?}, not {wanted:?}"))
            }
            (Ok((object, managers)), None) => {
                let sets = |managers: &Managers| -> Vec<(String, Set)> {
                    managers
                        .iter()
                        .map(|(i, o)| (i.manager.clone(), o.set.clone()))
                        .collect()
                };
                let wanted = recorded_managers(&step["after"]);
                let text = |managers: &Managers| {
                    let lines = managers
                        .iter()
                        .map(|(i, o)| format!("{} {}", i.manager, o.set.encode()));
                    lines.collect::<Vec<_>>().join("; ")
                };
                let (made, expected) = (without_nulls(&object), without_nulls(&step["result"]));
                if made == expected {
                    (sets(&managers) != sets(&wanted))
                        .then(|| format!("owners {}\n  not {}", text(&managers), text(&wanted)))
                } else {
                    Some(format!("made {made}, not {expected}"))
                }
            }
            (outcome, expected) => Some(format!("{outcome:?}, not {expected:?}")),
        };
        if let Some(complaint) = complaint {
            failures.push(format!(
                "step {number}: {} {manager} {} on {} owned {}\n  {complaint}",
                step["op"], step["object"], base, step["before"]
            ));
        }
    }
    assert!(tried > 150, "only {tried} steps were tried");
    assert!(
        failures.is_empty(),
        "{} of {tried} failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

fn recorded_managers(recorded: &Value) -> Managers {
    let entries = recorded.as_object().unwrap().iter().map(|(name, entry)| {
        let operation = if entry["applied"] == true {
            Operation::Apply
        } else {
            Operation::Update
        };
        let version = entry["version"].as_str().unwrap();
        let owned = Owned {
            set: Set::decode(&entry["set"]).unwrap(),
            api_version: version.to_owned(),
            time: None,
        };
        (Identity::new(operation, name, version, ""), owned)
    });
    entries.collect()
}

/// Where upstream leaves a null for what it emptied, nothing is left here.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(entries) => entries
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), without_nulls(value)))
            .collect(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        Value::Null => json!({}),
        other => other.clone(),
    }
}
