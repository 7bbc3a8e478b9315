//! The options of requests.

use serde_json::{Value, json};

use crate::{
    kind::Kind,
    random::Random,
    sequence::{JSON, Watch},
};

type Query = Vec<(String, String)>;

/// Metadata alone.
pub(super) const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

fn add(query: &mut Query, name: &str, value: impl Into<String>) {
    query.push((name.to_owned(), value.into()));
}

/// Whether nothing is stored.
pub(super) fn is_dry(query: &Query) -> bool {
    query.iter().any(|(name, _)| name == "dryRun")
}

/// Of create, update and the patches that are no configuration.
pub(super) fn write(random: &mut Random) -> Query {
    let mut query = Query::new();
    if random.percent(10) {
        add(
            &mut query,
            "dryRun",
            random.weighted(&[(9, "All"), (1, "Some")]),
        );
    }
    if random.percent(18) {
        add(
            &mut query,
            "fieldValidation",
            random.weighted(&[(5, "Strict"), (3, "Warn"), (3, "Ignore"), (1, "Loose")]),
        );
    }
    if random.percent(15) {
        add(
            &mut query,
            "fieldManager",
            random.weighted(&[(5, "one"), (5, "two"), (1, "kubectl-client-side-apply")]),
        );
    }
    if random.percent(2) {
        add(&mut query, "force", "true");
    }
    query
}

/// Of server-side apply.
pub(super) fn apply(random: &mut Random) -> Query {
    let mut query = Query::new();
    if random.percent(96) {
        add(&mut query, "fieldManager", *random.pick(&["one", "two"]));
    }
    if random.percent(45) {
        add(
            &mut query,
            "force",
            random.weighted(&[(9, "true"), (1, "false")]),
        );
    }
    if random.percent(8) {
        add(&mut query, "dryRun", "All");
    }
    if random.percent(12) {
        add(
            &mut query,
            "fieldValidation",
            *random.pick(&["Strict", "Ignore"]),
        );
    }
    query
}

/// Of reading one object.
pub(super) fn get(random: &mut Random) -> Query {
    let mut query = Query::new();
    if random.percent(20) {
        add(
            &mut query,
            "resourceVersion",
            *random.pick(&["0", "1", "x"]),
        );
    }
    query
}

/// What the client takes.
pub(super) fn accept(random: &mut Random, list: bool) -> &'static str {
    let metadata = if list { METADATA_LIST } else { METADATA };
    random.weighted(&[
        (16, JSON),
        (2, TABLE),
        (2, metadata),
        (1, "*/*"),
        (1, "text/html"),
    ])
}

/// A selector by labels; the marks at the end match all that watches use.
pub(super) fn label_selector(random: &mut Random) -> String {
    (*random.pick(&[
        "app=a",
        "app==a",
        "app!=b",
        "app in (a,b)",
        "app notin (b, c)",
        "app",
        "!missing",
        "app=a,!missing",
        "app=b",
        "tier=",
        "tier in (front,)",
        "missing",
        "app=c,tier=back",
        "weight>1",
    ]))
    .to_owned()
}

fn field_selector(kind: Kind, random: &mut Random) -> &'static str {
    let mut choices = vec![
        "metadata.name=a",
        "metadata.name!=a",
        "metadata.namespace={{ns}}",
        "metadata.name=a,metadata.namespace=other",
        "metadata.uid=x",
        "wrong",
    ];
    choices.extend(match kind {
        Kind::Pod => vec![
            "status.phase=Pending",
            "status.phase!=Running",
            "spec.nodeName=",
            "spec.restartPolicy=Always",
            "spec.serviceAccountName=default",
        ],
        Kind::Service => vec!["spec.type=ClusterIP", "spec.clusterIP=None"],
        Kind::Widget => vec!["spec.color=red", "spec.color!=red", "spec.size=3"],
        Kind::Deployment => vec!["status.replicas=1"],
        _ => vec![],
    });
    choices[random.below(choices.len())]
}

/// Of lists.
pub(super) fn list(kind: Kind, earlier: Option<usize>, random: &mut Random) -> Query {
    let mut query = Query::new();
    if random.percent(40) {
        add(&mut query, "labelSelector", label_selector(random));
    }
    if random.percent(3) {
        add(
            &mut query,
            "labelSelector",
            *random.pick(&["app=(", "a b", "=x", "app in a"]),
        );
    }
    if random.percent(25) {
        add(&mut query, "fieldSelector", field_selector(kind, random));
    }
    match random.below(12) {
        0 => add(&mut query, "resourceVersion", "0"),
        1 | 2 => {
            if let Some(id) = earlier {
                add(&mut query, "resourceVersion", format!("{{{{rv:{id}}}}}"));
                if random.percent(70) {
                    add(
                        &mut query,
                        "resourceVersionMatch",
                        *random.pick(&["Exact", "NotOlderThan"]),
                    );
                }
            }
        }
        3 => add(
            &mut query,
            "resourceVersionMatch",
            *random.pick(&["Exact", "NotOlderThan", "Wrong"]),
        ),
        4 => add(&mut query, "resourceVersion", "x"),
        5 => {
            add(&mut query, "resourceVersion", "0");
            add(
                &mut query,
                "resourceVersionMatch",
                *random.pick(&["Exact", "NotOlderThan"]),
            );
        }
        6 => add(&mut query, "continue", *random.pick(&["garbage", "e30"])),
        7 => add(
            &mut query,
            "limit",
            *random.pick(&["0", "1", "500", "-1", "x"]),
        ),
        _ => {}
    }
    query
}

/// Of watches, and how the end is seen in them.
pub(super) fn watch(name: &str, earlier: Option<usize>, random: &mut Random) -> (Query, Watch) {
    let mut query = vec![(
        "watch".to_owned(),
        (*random.pick(&["true", "1"])).to_owned(),
    )];
    let mut watch = Watch::Mark;
    match earlier {
        Some(id) if random.percent(65) => {
            add(&mut query, "resourceVersion", format!("{{{{rv:{id}}}}}"));
        }
        _ if random.percent(40) => add(
            &mut query,
            "resourceVersion",
            random.weighted(&[(12, "0"), (1, "x")]),
        ),
        _ => {}
    }
    match random.below(10) {
        0..=2 => add(
            &mut query,
            "labelSelector",
            *random.pick(&["app=a", "app in (a,b)", "app", "app!=b", "!missing"]),
        ),
        3 if !name.contains("{{") => {
            add(&mut query, "fieldSelector", format!("metadata.name={name}"));
            watch = Watch::Touch(name.to_owned());
        }
        4 => add(&mut query, "fieldSelector", "metadata.name!=a"),
        5 => add(&mut query, "sendInitialEvents", "true"),
        6 => {
            query.retain(|(name, _)| name != "resourceVersion");
            add(&mut query, "sendInitialEvents", "true");
            add(&mut query, "resourceVersionMatch", "NotOlderThan");
            add(&mut query, "allowWatchBookmarks", "true");
        }
        7 => add(&mut query, "allowWatchBookmarks", "true"),
        _ => {}
    }
    (query, watch)
}

/// Of deletions: in the query and in the body. `known` are requests that saw the object.
pub(super) fn delete(known: Option<(usize, usize)>, random: &mut Random) -> (Query, Value) {
    let mut query = Query::new();
    let mut body = json!({});
    match random.below(16) {
        0 => add(&mut query, "propagationPolicy", "Background"),
        1 => add(&mut query, "propagationPolicy", "Foreground"),
        2 => add(&mut query, "propagationPolicy", "Orphan"),
        3 => {
            body["propagationPolicy"] =
                json!(random.pick(&["Background", "Foreground", "Orphan", "Wrong"]));
        }
        4 => body["gracePeriodSeconds"] = json!(random.pick(&[0, 1, 30, -5])),
        5 => add(
            &mut query,
            "gracePeriodSeconds",
            *random.pick(&["0", "10", "x"]),
        ),
        6 => add(&mut query, "dryRun", "All"),
        7 => body["dryRun"] = json!([random.weighted(&[(5, "All"), (1, "Some")])]),
        8 => body["orphanDependents"] = json!(random.percent(50)),
        9 => {
            body["orphanDependents"] = json!(true);
            body["propagationPolicy"] = json!("Orphan");
        }
        10 | 11 => {
            if let Some((made, last)) = known {
                let id = if random.percent(50) { made } else { last };
                body["preconditions"] = match random.below(4) {
                    0 => {
                        json!({"uid": format!("{{{{uid:{made}}}}}"), "resourceVersion": format!("{{{{rv:{id}}}}}")})
                    }
                    1 => json!({"uid": format!("{{{{uid:{made}}}}}")}),
                    2 => json!({"uid": "11111111-2222-3333-4444-555555555555"}),
                    _ => json!({"resourceVersion": format!("{{{{rv:{id}}}}}")}),
                };
            }
        }
        12 => {
            body["kind"] = json!("DeleteOptions");
            body["apiVersion"] = json!("v1");
        }
        13 => body["unknown"] = json!(random.weighted(&[(1, "x")])),
        _ => {}
    }
    let body = if body == json!({}) { Value::Null } else { body };
    (query, body)
}
