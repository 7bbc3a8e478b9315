use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use windlass_engine::Object;

use super::*;

/// A policy of the operator, or of the namespace.
fn layer(namespace: Option<&str>, name: &str, spec: &Value) -> Arc<Layer> {
    let mut object = json!({
        "apiVersion": "windlass.dev/v1alpha1", "kind": "SparkPolicy",
        "metadata": {"name": name}, "spec": spec,
    });
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = json!(namespace);
    }
    let text = object.to_string();
    let mut read = read_file(&text).unwrap_or_else(|problems| panic!("{problems:?}"));
    read.remove(0)
}

fn operators(spec: &Value) -> Arc<Layer> {
    layer(None, "all", spec)
}

fn teams(spec: &Value) -> Arc<Layer> {
    layer(Some("etl"), "team", spec)
}

fn policies(layers: &[Arc<Layer>]) -> Policies {
    Policies::of(layers, [], "etl")
}

fn app(spec: &Value) -> Value {
    let mut app = json!({
        "type": "Python", "mode": "cluster", "sparkVersion": "4.3.0",
        "image": "apache/spark:4.3.0", "mainApplicationFile": "local:///job.py",
        "driver": {"serviceAccount": "spark"}, "executor": {"instances": 1},
    });
    for (name, value) in spec.as_object().unwrap() {
        if value.is_null() {
            app.as_object_mut().unwrap().remove(name);
        } else {
            app[name] = value.clone();
        }
    }
    app
}

fn refusals(applied: &Applied) -> Vec<String> {
    applied.refusals.iter().map(ToString::to_string).collect()
}

/// What comes out for these layers and this application, at these places.
#[track_caller]
fn gives(layers: &[Arc<Layer>], spec: &Value, expected: &[(&str, Value)]) -> Applied {
    let applied = policies(layers).apply(&app(spec), Some("spark"));
    assert_eq!(refusals(&applied), Vec::<String>::new());
    for (pointer, value) in expected {
        let found = applied.spec.pointer(pointer).cloned().unwrap_or_default();
        assert_eq!(found, *value, "{pointer}");
    }
    applied
}

#[track_caller]
fn refuses(layers: &[Arc<Layer>], spec: &Value, expected: &[&str]) {
    let applied = policies(layers).apply(&app(spec), None);
    assert_eq!(refusals(&applied), expected);
}

#[test]
fn without_policies_nothing_changes() {
    let given = app(&json!({}));
    let applied = policies(&[]).apply(&given, None);
    assert_eq!((applied.spec, applied.replaced), (given, vec![]));
    assert!(policies(&[]).is_empty());
}

#[test]
fn a_policy_of_another_namespace_says_nothing() {
    let other = layer(
        Some("ml"),
        "team",
        &json!({"allowedImages": ["x.example.com/*"]}),
    );
    assert!(Policies::of(&[other], [], "etl").is_empty());
}

#[test]
fn defaults_fill_what_is_left_out_and_the_nearer_one_goes_first() {
    let layers = [
        operators(&json!({"defaults": {
            "driver": {"memory": "1g", "cores": 2}, "nodeSelector": {"zone": "a"}, "keepLogs": "logs",
        }})),
        teams(&json!({"defaults": {"driver": {"memory": "2g"}, "nodeSelector": {"disk": "ssd"}}})),
    ];
    let none = gives(
        &layers,
        &json!({}),
        &[
            ("/keepLogs", json!("logs")),
            ("/driver/memory", json!("2g")),
            ("/driver/cores", json!(2)),
            ("/driver/serviceAccount", json!("spark")),
            ("/nodeSelector", json!({"zone": "a", "disk": "ssd"})),
        ],
    );
    assert_eq!(none.replaced, Vec::<String>::new());
    gives(
        &layers,
        &json!({"keepLogs": "own", "driver": {"memory": "4g"}, "nodeSelector": {"disk": "hdd"}}),
        &[
            ("/keepLogs", json!("own")),
            ("/driver/memory", json!("4g")),
            ("/nodeSelector", json!({"zone": "a", "disk": "hdd"})),
        ],
    );
}

#[test]
fn what_is_enforced_wins_the_operators_last_and_what_it_replaces_is_told_without_values() {
    let layers = [
        operators(&json!({"enforced": {"sparkConf": {"spark.eventLog.dir": "s3a://logs"}}})),
        teams(&json!({"enforced": {
            "sparkConf": {"spark.eventLog.dir": "s3a://ours", "spark.eventLog.enabled": true},
            "executor": {"tolerations": [{"key": "spot"}]},
        }})),
    ];
    let applied = gives(
        &layers,
        &json!({
            "sparkConf": {"spark.eventLog.dir": "s3a://planted", "spark.ui.port": "4050"},
            "executor": {"instances": 3, "tolerations": [{"key": "own"}, {"key": "other"}]},
        }),
        &[
            (
                "/sparkConf",
                json!({
                    "spark.eventLog.dir": "s3a://logs", "spark.eventLog.enabled": true,
                    "spark.ui.port": "4050",
                }),
            ),
            ("/executor/instances", json!(3)),
            ("/executor/tolerations", json!([{"key": "spot"}])),
        ],
    );
    assert_eq!(
        applied.replaced,
        [
            "spec.sparkConf[spark.eventLog.dir] is decided by SparkPolicy all",
            "spec.executor.tolerations is decided by SparkPolicy etl/team",
        ]
    );
    let same = gives(
        &layers[..1],
        &json!({"sparkConf": {"spark.eventLog.dir": "s3a://logs"}}),
        &[],
    );
    assert_eq!(same.replaced, Vec::<String>::new());
}

fn named_images() -> Value {
    json!({"imageAliases": [
        {"name": "spark-4.3", "image": "r.example.com/spark:4.3.0-7", "sparkVersion": "4.3.0"},
        {"name": "spark-3.5", "image": "r.example.com/spark:3.5.9-2", "sparkVersion": "3.5.9"},
    ]})
}

#[test]
fn one_name_stands_for_image_and_version() {
    let layers = [operators(&named_images())];
    let new = [
        ("/image", json!("r.example.com/spark:4.3.0-7")),
        ("/sparkVersion", json!("4.3.0")),
    ];
    for spec in [
        json!({"image": "spark-4.3", "sparkVersion": "4.3.0"}),
        json!({"image": "spark-4.3", "sparkVersion": "4.3"}),
        json!({"image": "spark-4.3", "sparkVersion": "spark-4.3"}),
        json!({"image": null, "sparkVersion": "spark-4.3"}),
        json!({"image": null, "sparkVersion": "4.3.0"}),
        json!({"image": null, "sparkVersion": "4.3"}),
    ] {
        gives(&layers, &spec, &new);
    }
    gives(
        &layers,
        &json!({"image": "spark-3.5", "sparkVersion": "3.5.9", "executor": {"image": "spark-3.5"}}),
        &[("/executor/image", json!("r.example.com/spark:3.5.9-2"))],
    );
    // An image of one's own stays.
    gives(
        &layers,
        &json!({"sparkVersion": "4.3.0"}),
        &[("/image", json!("apache/spark:4.3.0"))],
    );
    // The nearer name goes first.
    let nearer = teams(&json!({"imageAliases": [
        {"name": "spark-4.3", "image": "r.example.com/etl:4.3.1", "sparkVersion": "4.3.1"},
    ]}));
    gives(
        &[Arc::clone(&layers[0]), nearer],
        &json!({"image": "spark-4.3", "sparkVersion": "4.3"}),
        &[("/image", json!("r.example.com/etl:4.3.1"))],
    );
    refuses(
        &layers,
        &json!({"image": "spark-4.3", "sparkVersion": "3.5.9"}),
        &[
            "spec.sparkVersion: \"3.5.9\": is not the Spark of the image spark-4.3; write 4.3.0, or \
             spark-4.3 here, too",
        ],
    );
    refuses(
        &layers,
        &json!({"driver": {"image": "spark-3.5"}}),
        &[
            "spec.driver.image: \"spark-3.5\": is the Spark 3.5.9, and spec.sparkVersion is another \
             one; use an image of the same version",
        ],
    );
}

#[test]
fn every_image_is_judged_wherever_it_stands() {
    let allowed = |pattern: &str| operators(&json!({"allowedImages": [pattern]}));
    let layers = [allowed("r.example.com/*")];
    let told = |field: &str| {
        format!(
            "{field}: \"evil.io/x\": SparkPolicy all allows no such image; use one of r.example.com/*"
        )
    };
    let pod = json!({"spec": {"containers": [{"image": "evil.io/x"}]}});
    for (spec, field) in [
        (json!({"image": "evil.io/x"}), "spec.image"),
        (
            json!({"driver": {"image": "evil.io/x"}}),
            "spec.driver.image",
        ),
        (
            json!({"executor": {"image": "evil.io/x"}}),
            "spec.executor.image",
        ),
        (
            json!({"driver": {"sidecars": [{"image": "r.example.com/a"}, {"image": "evil.io/x"}]}}),
            "spec.driver.sidecars[1].image",
        ),
        (
            json!({"executor": {"initContainers": [{"image": "evil.io/x"}]}}),
            "spec.executor.initContainers[0].image",
        ),
        (
            json!({"executor": {"template": pod}}),
            "spec.executor.template.spec.containers[0].image",
        ),
        (
            json!({"volumes": [{"name": "v", "image": {"reference": "evil.io/x"}}]}),
            "spec.volumes[0].image.reference",
        ),
    ] {
        let mut spec = spec;
        if spec["image"].is_null() {
            spec["image"] = json!("r.example.com/spark:4.3.0");
        }
        refuses(&layers, &spec, &[&told(field)]);
    }
    // One that allows more does not help.
    let both = [
        allowed("r.example.com/*"),
        teams(&json!({"allowedImages": ["*"]})),
    ];
    refuses(
        &both,
        &json!({"image": "evil.io/x"}),
        &[&told("spec.image")],
    );
    // Names for images are judged by what they stand for.
    let named = [
        operators(&named_images()),
        teams(&json!({"allowedImages": ["r.example.com/*"]})),
    ];
    gives(&named, &json!({"image": "spark-4.3"}), &[]);
}

#[test]
fn accounts_are_judged_and_a_driver_that_names_none_has_the_operators() {
    let layers = [teams(
        &json!({"allowedServiceAccounts": ["spark", "etl-*"]}),
    )];
    let told = |field: &str, account: &str| {
        format!(
            "{field}: \"{account}\": SparkPolicy etl/team allows no such ServiceAccount; set one of \
             spark, etl-*"
        )
    };
    gives(
        &layers,
        &json!({"driver": {"serviceAccount": "etl-nightly"}}),
        &[],
    );
    gives(&layers, &json!({"driver": {}}), &[]);
    // Without an account of the operator it is the namespace's own.
    refuses(
        &layers,
        &json!({"driver": {}}),
        &[&told("spec.driver.serviceAccount", "default")],
    );
    refuses(
        &layers,
        &json!({"executor": {"serviceAccount": "admin"}}),
        &[&told("spec.executor.serviceAccount", "admin")],
    );
    refuses(
        &layers,
        &json!({"driver": {"template": {"spec": {"serviceAccountName": "admin"}}}}),
        &[&told(
            "spec.driver.template.spec.serviceAccountName",
            "admin",
        )],
    );
}

#[test]
fn denied_settings_are_refused_wherever_they_are_made_unless_the_policy_makes_them() {
    let denied = json!({"deniedSparkConf": ["spark.plugins", "spark.hadoop.fs.*"]});
    let layers = [operators(&denied)];
    let told = |place: &str, setting: &str| {
        format!(
            "{place}: {setting}may not be set, by SparkPolicy all; remove it, or ask whoever keeps \
             the policy"
        )
    };
    for (spec, place, setting) in [
        (
            json!({"sparkConf": {"spark.plugins": "org.example.P"}}),
            "spec.sparkConf[spark.plugins]",
            "",
        ),
        (
            json!({"hadoopConf": {"fs.s3a.endpoint": "x"}}),
            "spec.hadoopConf[fs.s3a.endpoint]",
            "spark.hadoop.fs.s3a.endpoint ",
        ),
        (
            json!({"driver": {
                "serviceAccount": "spark", "javaOptions": "-Xss4m -Dspark.plugins=org.example.P",
            }}),
            "spec.driver.javaOptions",
            "spark.plugins ",
        ),
        (
            json!({"sparkConf": {"spark.executor.extraJavaOptions": "'-Dspark.plugins=a'"}}),
            "spec.sparkConf[spark.executor.extraJavaOptions]",
            "spark.plugins ",
        ),
    ] {
        refuses(&layers, &spec, &[&told(place, setting)]);
    }
    let itself = [
        operators(&denied),
        teams(&json!({"enforced": {"sparkConf": {"spark.plugins": "org.example.Ours"}}})),
    ];
    gives(
        &itself,
        &json!({}),
        &[("/sparkConf/spark.plugins", json!("org.example.Ours"))],
    );
    let replaced = gives(
        &itself,
        &json!({"sparkConf": {"spark.plugins": "org.example.P"}}),
        &[],
    );
    assert_eq!(replaced.replaced.len(), 1);
}

#[test]
fn a_broken_policy_is_told_by_its_name_and_field() {
    let broken = Object::new(json!({
        "metadata": {"name": "team", "namespace": "etl", "resourceVersion": "1"},
        "spec": {"allowedImages": [], "enforced": {"driver": {"memory": "much"}}},
    }));
    let read = Layer::read(&broken);
    let policies = Policies::of(&[], [&read], "etl");
    let told = policies.broken().join("\n");
    for part in [
        "SparkPolicy etl/team: spec.allowedImages: allows nothing",
        "SparkPolicy etl/team: spec.enforced.driver.memory",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert!(!policies.is_empty());
    let names = |name: &str, image: &str| json!({"imageAliases": [{"name": name, "image": image, "sparkVersion": "4.3.0"}]});
    let chained = [
        operators(&names("a", "r.example.com/a")),
        teams(&names("b", "a")),
    ];
    let told = Policies::of(&chained, [], "etl").broken().join("\n");
    assert!(
        told.contains("SparkPolicy etl/team: spec.imageAliases[b]"),
        "{told}"
    );
}

#[test]
fn a_file_is_read_completely_or_every_mistake_is_told() {
    for (text, expected) in [
        ("", "is empty: give a SparkPolicy"),
        (
            "kind: ConfigMap\napiVersion: v1\n",
            "not a SparkPolicy (windlass.dev/v1alpha1)",
        ),
        (
            "apiVersion: windlass.dev/v1alpha1\nkind: SparkPolicy\nmetadata: {name: a}\n\
             spec: {allowedImage: []}\n",
            "spec.allowedImage: unknown field; did you mean \"allowedImages\"?",
        ),
        (": :", "line 1"),
    ] {
        let problems = read_file(text).unwrap_err().join("\n");
        assert!(problems.contains(expected), "{text:?}: {problems}");
    }
}

fn words() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "a",
        "b",
        "spark-4.3",
        "r.example.com/a",
        "4.3.0",
        "4.3",
    ])
    .prop_map(str::to_owned)
}

/// Parts of specifications, with the fields that policies look at.
fn parts() -> impl Strategy<Value = Value> {
    let conf = prop::collection::btree_map(
        prop::sample::select(vec!["spark.a", "spark.b", "spark.c"]).prop_map(str::to_owned),
        words(),
        0..3,
    );
    let role = (
        prop::option::of(words()),
        prop::option::of(words()),
        prop::option::of(prop::collection::vec(words(), 0..2)),
    )
        .prop_map(|(image, memory, secrets)| {
            let mut role = json!({});
            let fields = [
                ("image", json!(image)),
                ("memory", json!(memory)),
                ("x", json!(secrets)),
            ];
            for (name, value) in fields {
                if !value.is_null() {
                    role[name] = value;
                }
            }
            role
        });
    (
        conf,
        role,
        prop::option::of(words()),
        prop::option::of(words()),
    )
        .prop_map(|(conf, role, image, version)| {
            let mut part = json!({"sparkConf": conf, "driver": role});
            if let Some(image) = image {
                part["image"] = json!(image);
            }
            if let Some(version) = version {
                part["sparkVersion"] = json!(version);
            }
            part
        })
}

fn any_layer() -> impl Strategy<Value = Arc<Layer>> {
    (
        prop::option::of(parts()),
        prop::option::of(parts()),
        prop::option::of(Just(vec!["r.example.com/*".to_owned(), "a".to_owned()])),
        prop::collection::vec(Just("spark.a".to_owned()), 0..2),
        any::<bool>(),
    )
        .prop_map(|(defaults, enforced, allowed, denied, is_teams)| {
            let mut spec = windlass_api::spark::policy::SparkPolicySpec {
                defaults,
                enforced,
                allowed_images: allowed,
                denied_spark_conf: denied,
                ..Default::default()
            };
            if is_teams {
                spec.image_aliases = vec![windlass_api::spark::policy::ImageAlias {
                    name: "spark-4.3".to_owned(),
                    image: "r.example.com/a".to_owned(),
                    spark_version: "4.3.0".to_owned(),
                }];
            }
            Arc::new(Layer {
                source: "SparkPolicy".to_owned(),
                namespace: is_teams.then(|| "etl".to_owned()),
                spec,
            })
        })
}

proptest! {
    #[test]
    fn policies_applied_once_more_change_nothing_and_refuse_nothing_more(
        layers in prop::collection::vec(any_layer(), 0..3),
        given in parts(),
    ) {
        let policies = policies(&layers);
        let once = policies.apply(&given, Some("spark"));
        let twice = policies.apply(&once.spec, Some("spark"));
        prop_assert_eq!(&once.spec, &twice.spec);
        if once.refusals.is_empty() {
            prop_assert!(twice.refusals.is_empty(), "{:?}", twice.refusals);
        }
        // Whatever is enforced by the operator holds, names for images aside.
        for layer in layers.iter().filter(|it| it.namespace.is_none()).take(1) {
            for leaf in layer.spec.enforced.as_ref().map(merge::leaves).unwrap_or_default() {
                if leaf.last().is_some_and(|it| it != "image" && it != "sparkVersion") {
                    let enforced = layer.spec.enforced.as_ref().and_then(|it| merge::at(it, &leaf));
                    prop_assert_eq!(merge::at(&once.spec, &leaf), enforced);
                }
            }
        }
    }
}
