//! Rules of roles that have as many members as there is a use for.

use super::*;

/// A cluster that is created, whose workers are autoscaled like this, and no number of them is given. The
/// application asks in a seed for demand.
fn autoscaled(fields: &Value) -> Case {
    let mut case = Case::default();
    case.app["spec"]["roles"][1]["demand"] =
        json!({ "roleID": "seed", "command": ["db", "demand"] });
    let worker = &mut case.cluster["spec"]["roles"][1];
    worker["members"] = Value::Null;
    worker["autoscale"] = json!({ "maxMembers": 5 });
    merge(worker, fields);
    case
}

#[test]
fn bounds_in_the_place_of_a_number_are_not_refused() {
    let rows = [
        (
            "as many members as there is a use for",
            autoscaled(&json!({})),
        ),
        (
            "the same, with a number to begin with",
            autoscaled(&json!({
                "members": 2,
                "autoscale": { "minMembers": 2, "maxMembers": 2, "scaleDownDelaySeconds": 0 },
            })),
        ),
    ];
    for (name, case) in rows {
        assert_eq!(told_of(&case), "", "{name}");
    }
}

#[test]
fn no_number_is_stored_where_bounds_are_given() {
    let case = autoscaled(&json!({}));
    let cluster = read(&case.cluster);
    let around = with_everything(&cluster, &read(&case.app));
    let stored = sealed(admit(Request::Create, &cluster, &around).unwrap());
    assert_eq!(stored.spec.roles[1].members, None);
    assert_eq!(stored.spec.roles[0].members, Some(2));
}

#[test]
fn each_rule_about_bounds_is_told_with_its_field_and_what_to_do() {
    let rows = [
        ("a role whose application asks for no demand", {
            let mut case = autoscaled(&json!({}));
            case.app["spec"]["roles"][1]["demand"] = Value::Null;
            case
        }),
        ("a role that always has as many", {
            let mut case = autoscaled(&json!({}));
            case.app["spec"]["roles"][1]["cardinality"] = json!("3");
            case
        }),
        (
            "bounds that are none",
            autoscaled(&json!({ "autoscale": {
                "minMembers": -1, "maxMembers": 0, "scaleDownDelaySeconds": 3601,
            } })),
        ),
        (
            "bounds the wrong way round",
            autoscaled(&json!({ "autoscale": { "minMembers": 6 } })),
        ),
        ("fewer than the application needs", {
            let mut case = autoscaled(&json!({ "autoscale": { "minMembers": 1 } }));
            case.app["spec"]["roles"][1]["cardinality"] = json!("2+");
            case
        }),
        ("at most fewer than the application needs", {
            let mut case = autoscaled(&json!({ "autoscale": { "maxMembers": 1 } }));
            case.app["spec"]["roles"][1]["cardinality"] = json!("2+");
            case
        }),
        (
            "more members to begin with than there may be",
            autoscaled(&json!({ "members": 6 })),
        ),
        (
            "more members in the end than a cluster may have",
            autoscaled(&json!({ "autoscale": { "maxMembers": 1000 } })),
        ),
        ("nobody to ask, because the role may have no members", {
            let mut case = autoscaled(&json!({}));
            case.app["spec"]["roles"][1]["demand"]["roleID"] = Value::Null;
            case
        }),
        ("nobody to ask, because the other role has no members", {
            let mut case = autoscaled(&json!({}));
            case.app["spec"]["roles"][0]["cardinality"] = json!("0+");
            case.cluster["spec"]["roles"][0]["members"] = json!(0);
            case
        }),
        ("a claim that one member alone can have", {
            let mut case = autoscaled(&json!({
                "volumeProjections": [{ "pvcName": "data", "mountPath": "/data" }],
            }));
            case.around = |it| {
                let claim = it.claims.get_mut("data").unwrap();
                claim.access_modes = [AccessMode::ReadWriteOnce].into();
            };
            case
        }),
    ];
    let rows = rows.map(|(name, case)| {
        let told = told_of(&case);
        assert!(!told.is_empty(), "{name} is not told");
        format!("{name}\n{told}")
    });
    insta::assert_snapshot!(rows.join("\n\n"));
}
