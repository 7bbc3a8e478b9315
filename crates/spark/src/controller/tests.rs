use serde_json::{Value, json};
use windlass_engine::plan::{Basis, Effect, Plan};
use windlass_engine::{Controller, Object};

use super::sight::Findings;
use super::*;
use crate::policy::Policies;
use crate::stores::Stores;

const UID: &str = "0b6b1f3e-7f0a-4a39-9a5b-0d3f2f2b8a11";

fn pi(status: &Value) -> Object {
    Object::new(json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {
            "name": "pi", "namespace": "jobs", "uid": UID, "generation": 1, "resourceVersion": "7",
        },
        "spec": {
            "type": "Python",
            "sparkVersion": "4.3.0",
            "image": "apache/spark:4.3.0",
            "mainApplicationFile": "local:///opt/spark/examples/src/main/python/pi.py",
            "driver": {"serviceAccount": "spark"},
            "executor": {"instances": 2},
        },
        "status": status,
    }))
}

fn operator() -> SparkApplications {
    spark_application(&OperatorConfig::default())
}

fn look(object: &Object, findings: &Findings) -> Plan<Value> {
    let operator = operator();
    let sight = match operator.read(object, &Policies::default(), &Stores::default()) {
        Ok(reading) => Sight::of(reading, findings),
        Err(error) => Sight::unreadable(error),
    };
    operator.plan(object, &sight, "2026-03-01T12:00:30Z".parse().unwrap())
}

/// Plans until the status stays, as the engine does.
fn settle(mut object: Object, findings: &Findings) -> (Object, Plan<Value>) {
    for _ in 0..10 {
        let plan = look(&object, findings);
        let mut value = object.as_value().clone();
        value["status"] = plan.status.clone();
        let next = Object::new(value);
        if next == object {
            return (object, plan);
        }
        object = next;
    }
    panic!("the status never settles");
}

fn created(effect: &Effect) -> &Value {
    match effect {
        Effect::Create(body) | Effect::Apply(body) => body,
        other => panic!("nothing is created by {other:?}"),
    }
}

/// The driver pod as the API shows it after it was created.
fn stored(effect: &Effect, status: Value) -> Object {
    let mut pod = created(effect).clone();
    pod["metadata"]["uid"] = json!("driver-uid");
    pod["metadata"]["creationTimestamp"] = json!("2026-03-01T12:00:25Z");
    pod["status"] = status;
    Object::new(pod)
}

#[test]
fn budgets_are_neither_watched_nor_made_where_the_cluster_does_not_serve_them() {
    let watched = |serves_budgets: bool| {
        let config = OperatorConfig {
            serves_budgets,
            ..OperatorConfig::default()
        };
        let operator = spark_application(&config);
        let reading = operator.read(&pi(&Value::Null), &Policies::default(), &Stores::default());
        let children = operator.children();
        let watched = children
            .iter()
            .any(|child| child.watch.kind == POD_DISRUPTION_BUDGET);
        (watched, reading.unwrap().spec.protected)
    };
    assert_eq!(watched(true), (true, true));
    assert_eq!(watched(false), (false, false));
}

#[test]
fn an_application_becomes_a_driver_pod_and_then_what_the_driver_owns() {
    let (intended, plan) = settle(pi(&Value::Null), &Findings::default());
    assert_eq!(plan.basis, Basis::Live, "{}", intended.status());
    let [create] = &plan.effects[..] else {
        panic!("only the driver is created: {:?}", plan.effects);
    };
    let driver = created(create);
    assert_eq!(driver["kind"], "Pod");
    assert_eq!(driver["metadata"]["name"], "pi-driver");
    assert_eq!(driver["metadata"]["ownerReferences"][0]["uid"], UID);
    let status = intended.status();
    let labels = &driver["metadata"]["labels"];
    assert_eq!(
        labels[crate::observe::SUBMISSION_ID],
        status["submissionID"]
    );
    assert_eq!(
        labels[crate::observe::APP_SELECTOR],
        status["sparkApplicationId"]
    );

    let pod = stored(create, json!({"phase": "Pending"}));
    let (submitted, plan) = settle(
        intended,
        &Findings {
            pods: vec![pod.clone()],
            ..Findings::default()
        },
    );
    assert_eq!(submitted.status()["applicationState"]["state"], "SUBMITTED");
    assert_eq!(submitted.status()["executionAttempts"], 1);
    let (companions, ui) = plan.effects.split_at(plan.effects.len() - 1);
    assert!(companions.len() >= 2);
    for effect in companions {
        assert!(matches!(effect, Effect::Apply(_)));
        assert_eq!(
            created(effect)["metadata"]["ownerReferences"][0]["uid"],
            "driver-uid"
        );
    }
    assert_eq!(created(&ui[0])["metadata"]["name"], "pi-ui-svc");
    assert_eq!(
        created(&ui[0])["metadata"]["ownerReferences"][0]["uid"],
        UID
    );

    let found = |effects: &[Effect]| -> Vec<Object> {
        effects
            .iter()
            .map(|effect| Object::new(created(effect).clone()))
            .collect()
    };
    let complete = Findings {
        pods: vec![pod],
        companions: found(companions),
        exposers: found(ui)
            .into_iter()
            .map(|service| (ExposerKind::Service, service))
            .collect(),
        ..Findings::default()
    };
    let (_, plan) = settle(submitted, &complete);
    assert_eq!(plan.effects, [], "quiet until something happens");
    assert!(plan.wake_at.is_some());
}

#[test]
fn the_group_that_a_scheduler_knows_is_made_before_the_driver() {
    let mut app = pi(&Value::Null).into_value();
    app["spec"]["batchScheduler"] = json!("volcano");
    let (_, plan) = settle(Object::new(app), &Findings::default());
    let [group, driver] = &plan.effects[..] else {
        panic!("a group and a driver: {:?}", plan.effects);
    };
    assert!(matches!(group, Effect::Apply(_)));
    assert_eq!(created(group)["kind"], "PodGroup");
    assert_eq!(created(group)["metadata"]["ownerReferences"][0]["uid"], UID);
    assert_eq!(created(driver)["kind"], "Pod");
}

#[test]
fn a_driver_that_ends_leads_to_the_end_of_the_application() {
    let (intended, plan) = settle(pi(&Value::Null), &Findings::default());
    let ended = json!({"phase": "Failed", "containerStatuses": [{
        "name": "spark-kubernetes-driver",
        "state": {"terminated": {"exitCode": 3, "finishedAt": "2026-03-01T12:00:28Z"}},
    }]});
    let pods = vec![stored(&plan.effects[0], ended)];
    let (failed, plan) = settle(
        intended,
        &Findings {
            pods,
            ..Findings::default()
        },
    );
    assert_eq!(failed.status()["applicationState"]["state"], "FAILED");
    assert_eq!(failed.status()["terminationTime"], "2026-03-01T12:00:28Z");
    assert_eq!((plan.effects, plan.wake_at), (vec![], None));
}

#[test]
fn leftover_executors_are_deleted_by_uid() {
    let (intended, plan) = settle(pi(&Value::Null), &Findings::default());
    let ended = json!({"phase": "Succeeded", "containerStatuses": [{
        "name": "spark-kubernetes-driver", "state": {"terminated": {"exitCode": 0}},
    }]});
    let executor = Object::new(json!({
        "kind": "Pod",
        "metadata": {"name": "pi-exec-1", "uid": "executor-uid", "labels": {
            "spark-role": "executor", "spark-exec-id": "1",
            "spark-app-selector": intended.status()["sparkApplicationId"],
        }},
        "status": {"phase": "Running"},
    }));
    let pods = vec![stored(&plan.effects[0], ended), executor];
    let (ending, plan) = settle(
        intended,
        &Findings {
            pods,
            ..Findings::default()
        },
    );
    assert_eq!(ending.status()["applicationState"]["state"], "SUCCEEDING");
    assert_eq!(ending.status()["executorState"]["pi-exec-1"], "RUNNING");
    let [Effect::Delete { target, uid }] = &plan.effects[..] else {
        panic!("the executor is deleted: {:?}", plan.effects);
    };
    assert_eq!(
        (target.kind.as_str(), target.name.as_str(), uid.as_str()),
        ("Pod", "pi-exec-1", "executor-uid")
    );
    assert_eq!(target.namespace.as_deref(), Some("jobs"));
}

#[test]
fn a_driver_on_a_lost_node_is_removed_by_force_where_its_user_wants_that() {
    let (intended, plan) = settle(pi(&Value::Null), &Findings::default());
    let running = json!({"phase": "Running"});
    let pod = stored(&plan.effects[0], running);
    let (followed, _) = settle(
        intended,
        &Findings {
            pods: vec![pod.clone()],
            ..Findings::default()
        },
    );
    let mut value = followed.into_value();
    value["spec"]["restartPolicy"] = json!({"type": "Never", "nodeLoss": "Replace"});
    value["status"]["driverInfo"]["podReason"] = json!("DriverUnreachable");
    value["status"]["driverInfo"]["podReasonSince"] = json!("2026-03-01T11:00:00Z");
    let mut pod = pod.into_value();
    pod["status"] = json!({"phase": "Unknown"});
    let (lost, plan) = settle(
        Object::new(value),
        &Findings {
            pods: vec![Object::new(pod)],
            ..Findings::default()
        },
    );
    assert_eq!(lost.status()["attempt"]["outcome"]["reason"], "NodeLost");
    let [Effect::ForceDelete { target, uid }] = &plan.effects[..] else {
        panic!("the pod is removed: {:?}", plan.effects);
    };
    assert_eq!(
        (target.name.as_str(), uid.as_str()),
        ("pi-driver", "driver-uid")
    );
}

#[test]
fn a_wrong_field_is_a_failed_application_that_names_it() {
    let mut value = pi(&Value::Null).into_value();
    value["spec"]["driver"]["memory"] = json!("much");
    value["spec"]["image"] = Value::Null;
    let (failed, plan) = settle(Object::new(value), &Findings::default());
    assert_eq!(failed.status()["applicationState"]["state"], "FAILED");
    assert_eq!(plan.effects, []);
    let message = failed.status()["applicationState"]["errorMessage"]
        .as_str()
        .unwrap();
    assert!(message.contains("spec.driver.memory"), "{message}");
    assert!(message.contains("image"), "{message}");
}

#[test]
fn an_application_that_cannot_be_decoded_fails_with_the_reason() {
    let mut value = pi(&Value::Null).into_value();
    value["spec"]["arguments"] = json!("not a list");
    let (failed, plan) = settle(Object::new(value), &Findings::default());
    assert_eq!(failed.status()["applicationState"]["state"], "FAILED");
    assert_eq!(plan.effects, []);
}

#[test]
fn an_application_without_a_readable_status_is_left_alone() {
    let broken = json!({"executionAttempts": "many"});
    let plan = look(&pi(&broken), &Findings::default());
    assert_eq!(plan.status, broken);
    assert_eq!(plan.effects, []);
}

#[test]
fn applications_with_something_to_report_go_first() {
    use windlass_engine::Class;
    let class = |state: &str| operator().class(&pi(&json!({"applicationState": {"state": state}})));
    assert_eq!(operator().class(&pi(&Value::Null)), Class::New);
    assert_eq!(class("PENDING_RERUN"), Class::New);
    assert_eq!(class("RUNNING"), Class::Status);
}

#[test]
fn nothing_is_done_that_the_rules_do_not_allow() {
    let (intended, first) = settle(pi(&Value::Null), &Findings::default());
    let pods = vec![stored(&first.effects[0], json!({"phase": "Pending"}))];
    let (_, second) = settle(
        intended,
        &Findings {
            pods,
            ..Findings::default()
        },
    );
    for effect in first.effects.iter().chain(&second.effects) {
        let (kind, verbs) = match effect {
            Effect::Create(body) => (body["kind"].as_str().unwrap(), vec!["create"]),
            Effect::Apply(body) => (body["kind"].as_str().unwrap(), vec!["create", "patch"]),
            other => panic!("{other:?}"),
        };
        let plural = match kind.to_lowercase().strip_suffix('y') {
            Some(stem) => format!("{stem}ies"),
            None => format!("{}s", kind.to_lowercase()),
        };
        let allowed = crate::rbac::operator_rules(&[]).into_iter().any(|rule| {
            rule.resources.unwrap().contains(&plural)
                && verbs
                    .iter()
                    .all(|verb| rule.verbs.iter().any(|it| it == verb))
        });
        assert!(allowed, "{verbs:?} {plural}");
    }
}

#[test]
fn the_end_of_a_failed_drivers_log_tells_what_its_status_has_lost() {
    let (intended, plan) = settle(pi(&Value::Null), &Findings::default());
    let trace = "\tat a.B.c(B.java:1)\n".repeat(110);
    let pod = |message: &str| {
        let terminated = json!({"exitCode": 1, "reason": "Error", "message": message});
        let container =
            json!({"name": "spark-kubernetes-driver", "state": {"terminated": terminated}});
        stored(
            &plan.effects[0],
            json!({"phase": "Failed", "containerStatuses": [container]}),
        )
    };
    let findings = |message: &str| Findings {
        pods: vec![pod(message)],
        ..Findings::default()
    };
    let reading = operator()
        .read(&intended, &Policies::default(), &Stores::default())
        .unwrap();
    let short = findings("ValueError: boom");
    assert_eq!(last_words::wanted(&reading, &short), None);
    let mut long = findings(&trace);
    let (wanted, container) = last_words::wanted(&reading, &long).unwrap();
    assert_eq!(
        (wanted.uid(), container),
        ("driver-uid", "spark-kubernetes-driver")
    );

    let reason = |findings: &Findings| -> String {
        let (failing, _) = settle(intended.clone(), findings);
        let outcome = &failing.status()["attempt"]["outcome"]["message"];
        outcome.as_str().unwrap().to_owned()
    };
    assert_eq!(reason(&long), "the driver exited with code 1");
    long.last_words = Some(last_words::LastWords {
        pod: "driver-uid".to_owned(),
        text: format!("Traceback (most recent call last):\n  File\nValueError: boom\n{trace}"),
    });
    assert_eq!(
        reason(&long),
        "the driver exited with code 1: ValueError: boom"
    );
}
