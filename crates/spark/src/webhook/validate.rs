//! Whether an object of ours can be meant.
//!
//! Laws:
//! - the rules are those of the operator itself, so that what is let through is not refused later
//!   for its spec, and what is refused would have failed: a Connect server is judged by the very
//!   function that makes its objects, and an application of the first operator as what it is
//!   converted into;
//! - an update that leaves the spec alone is let through: labels, finalizers and deletions of an
//!   object that was stored before there was a webhook must go on working.

use serde::de::DeserializeOwned;
use serde_json::Value;
use windlass_api::field::FieldError;
use windlass_api::spark::application;
use windlass_api::spark::original::{self, OldImages, check_followed};
use windlass_api::spark::scheduled::{self, run_name, template};
use windlass_api::spark::{
    OriginalSparkApplication, ScheduledSparkApplication, SparkApplication, SparkConnect,
    SparkHistoryServer, SparkPolicy, policy,
};
use windlass_engine::webhook::{Operation, Request, Verdict};

use crate::connect::{self, Ruled};
use crate::history;
use crate::lower::{self, Settings};
use crate::original::wanted;
use crate::policy::Policies;

/// Judges a write of an object of ours.
pub fn validate(
    request: &Request,
    settings: &Settings,
    old_images: &OldImages,
    policies: &Policies,
) -> Verdict {
    let is_write = matches!(request.operation, Operation::Create | Operation::Update);
    let is_same = request.object["spec"] == request.old_object["spec"];
    let is_going = request.object["metadata"]["deletionTimestamp"].is_string();
    if !is_write || is_going || (request.operation == Operation::Update && is_same) {
        return Verdict::allowed();
    }
    let object = named(&request.object);
    let (group, kind) = (request.kind.group.as_str(), request.kind.kind.as_str());
    if kind == "SparkPolicy" {
        return read(&object).map_or_else(refused, |it| a_policy(&it));
    }
    if !policies.broken().is_empty() {
        // It waits until the policy is repaired, as everything does that was there before.
        return Verdict {
            warnings: policies.broken().to_vec(),
            ..Verdict::allowed()
        };
    }
    match (group, kind) {
        (original::GROUP, "SparkApplication") => read(&object).map_or_else(refused, |it| {
            of_that_time(&it, settings, old_images, policies)
        }),
        (_, "SparkApplication") => {
            read(&object).map_or_else(refused, |it| application(&it, settings, policies))
        }
        (_, "ScheduledSparkApplication") => {
            read(&object).map_or_else(refused, |it| schedule(&it, settings, policies))
        }
        (_, "SparkConnect") => {
            read(&object).map_or_else(refused, |it| server(&it, settings, policies))
        }
        (_, "SparkHistoryServer") => {
            read(&object).map_or_else(refused, |it| history_server(&it, settings, policies))
        }
        _ => Verdict::allowed(),
    }
}

/// An application of the first operator. What its user submits is no matter of policies.
fn of_that_time(
    original: &OriginalSparkApplication,
    settings: &Settings,
    old_images: &OldImages,
    policies: &Policies,
) -> Verdict {
    if original.spec.submission_by_user {
        return Verdict::of_problems(texts(&check_followed(original)));
    }
    let wanted = match wanted(original, old_images) {
        Ok(wanted) => wanted,
        Err(problems) => return Verdict::of_problems(problems),
    };
    let verdict =
        read(&wanted.application).map_or_else(refused, |it| application(&it, settings, policies));
    Verdict {
        warnings: [wanted.notes, verdict.warnings].concat(),
        ..verdict
    }
}

fn a_policy(policy: &SparkPolicy) -> Verdict {
    let problems = policy::validate(policy);
    if problems.is_empty() {
        Verdict::allowed()
    } else {
        Verdict::of_problems(texts(&problems))
    }
}

fn server(server: &SparkConnect, settings: &Settings, policies: &Policies) -> Verdict {
    let account = settings.driver_service_account.as_deref();
    let wanted =
        Ruled::by(policies, server, account).and_then(|ruled| connect::wanted_of(&ruled, settings));
    match wanted {
        Ok(wanted) => Verdict {
            warnings: [wanted.not_applied, wanted.decided, wanted.exposed].concat(),
            ..Verdict::allowed()
        },
        Err(problems) => Verdict::of_problems(problems),
    }
}

/// Its ObjectStores may come later, so they are no matter here.
fn history_server(
    server: &SparkHistoryServer,
    settings: &Settings,
    policies: &Policies,
) -> Verdict {
    let ruled = history::Ruled::by(policies, server);
    match ruled.and_then(|ruled| history::wanted(&ruled, None, settings)) {
        Ok(wanted) => Verdict {
            warnings: [wanted.not_applied, wanted.decided, wanted.exposed].concat(),
            ..Verdict::allowed()
        },
        Err(obstacle) => Verdict::of_problems(obstacle.problems().to_vec()),
    }
}

fn application(
    application: &SparkApplication,
    settings: &Settings,
    policies: &Policies,
) -> Verdict {
    let account = settings.driver_service_account.as_deref();
    let (application, decided) = match policies.apply_to(application, account) {
        Ok(ruled) => ruled,
        Err(refusals) => return Verdict::of_problems(texts(&refusals)),
    };
    let problems = application::validate(&application);
    if !problems.is_empty() {
        return Verdict::of_problems(texts(&problems));
    }
    match lower::render(&application, settings) {
        Ok((_, lowered)) => Verdict {
            warnings: lowered
                .not_applied
                .iter()
                .map(ToString::to_string)
                .chain(decided)
                .chain(lowered.exposed)
                .collect(),
            ..Verdict::allowed()
        },
        Err(error) => Verdict::of_problems(error.problems()),
    }
}

fn schedule(
    schedule: &ScheduledSparkApplication,
    settings: &Settings,
    policies: &Policies,
) -> Verdict {
    let account = settings.driver_service_account.as_deref();
    let schedule = match policies.apply_to_schedule(schedule, account) {
        Ok(ruled) => ruled,
        Err(problems) => return Verdict::of_problems(problems),
    };
    let schedule = &schedule;
    let problems = scheduled::validate(schedule);
    if !problems.is_empty() {
        return Verdict::of_problems(texts(&problems));
    }
    let name = schedule.metadata.name.as_deref().unwrap_or_default();
    let run = template(schedule, run_name(name, jiff::Timestamp::UNIX_EPOCH));
    match lower::render(&run, settings) {
        Ok((_, lowered)) => Verdict {
            warnings: lowered
                .not_applied
                .iter()
                .map(ToString::to_string)
                .chain(lowered.exposed)
                .map(|it| format!("spec.template: {it}"))
                .collect(),
            ..Verdict::allowed()
        },
        Err(error) => {
            let problems = error.problems().into_iter();
            Verdict::of_problems(problems.map(|it| format!("spec.template: {it}")).collect())
        }
    }
}

/// The object under a name; where the API server is to make one up, some name will do.
fn named(object: &Value) -> Value {
    let mut object = object.clone();
    let prefix = object["metadata"]["generateName"].as_str();
    if let Some(prefix) = prefix
        && object["metadata"]["name"]
            .as_str()
            .is_none_or(str::is_empty)
    {
        object["metadata"]["name"] = Value::String(format!("{prefix}xxxxx"));
    }
    object
}

/// The schema has been checked by the API server: a field that cannot be read is in one of the
/// parts which have none.
fn read<T: DeserializeOwned>(object: &Value) -> Result<T, String> {
    T::deserialize(object).map_err(|error| error.to_string())
}

fn refused(error: String) -> Verdict {
    Verdict::of_problems(vec![error])
}

fn texts(problems: &[FieldError]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;
    use serde_json::json;
    use windlass_engine::webhook::Outcome;

    use super::*;
    use crate::webhook::request;

    fn pi(spec: &Value) -> Value {
        let mut app = json!({
            "apiVersion": "sparkoperator.k8s.io/v1beta2",
            "kind": "SparkApplication",
            "metadata": {"name": "pi", "namespace": "jobs"},
            "spec": {
                "type": "Python", "mode": "cluster", "sparkVersion": "4.3.0",
                "image": "apache/spark:4.3.0", "mainApplicationFile": "local:///job.py",
                "driver": {}, "executor": {"instances": 1},
            },
        });
        for (key, value) in spec.as_object().unwrap() {
            app["spec"][key] = value.clone();
        }
        app
    }

    fn nightly(schedule: &str, template: &Value) -> Value {
        json!({
            "apiVersion": "sparkoperator.k8s.io/v1beta2",
            "kind": "ScheduledSparkApplication",
            "metadata": {"name": "nightly", "namespace": "jobs"},
            "spec": {"schedule": schedule, "template": pi(template)["spec"]},
        })
    }

    fn server(name: &str, spec: &Value) -> Value {
        let mut connect = json!({
            "apiVersion": "sparkoperator.k8s.io/v1alpha1",
            "kind": "SparkConnect",
            "metadata": {"name": name, "namespace": "jobs"},
            "spec": {
                "sparkVersion": "4.3.0", "image": "apache/spark:4.3.0",
                "server": {}, "executor": {"instances": 1},
            },
        });
        for (key, value) in spec.as_object().unwrap() {
            connect["spec"][key] = value.clone();
        }
        connect
    }

    fn judged(operation: &str, object: &Value, old: &Value) -> Verdict {
        let request = request(operation, object, old);
        let (settings, old_images) = (Settings::default(), OldImages::default());
        validate(&request, &settings, &old_images, &Policies::default())
    }

    fn refusal(object: &Value) -> String {
        match judged("CREATE", object, &Value::Null).outcome {
            Outcome::Refused(problems) => problems.join("\n"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_the_operator_would_refuse_is_refused_at_once_with_the_field() {
        for (spec, expected) in [
            (json!({"mode": "client"}), "spec.mode"),
            (json!({"driver": {"memory": "much"}}), "spec.driver.memory"),
            (json!({"executor": {"affinity": 1}}), "affinity"),
            (
                json!({"sparkConf": {"spark.kubernetes.namespace": "other"}}),
                "spark.kubernetes.namespace",
            ),
            (json!({"mainApplicationFile": "/job.py"}), "/job.py"),
            (json!({"sparkVersion": "newest"}), "sparkVersion"),
        ] {
            let refusal = refusal(&pi(&spec));
            assert!(refusal.contains(expected), "{spec}: {refusal}");
        }
        let two = refusal(&pi(&json!({"driver": {"cores": 0, "memory": "much"}})));
        assert!(two.lines().count() >= 2, "{two}");
        let wrong = refusal(&nightly("every day", &json!({})));
        assert!(wrong.contains("spec.schedule"), "{wrong}");
        let wrong = refusal(&nightly(
            "@daily",
            &json!({"mainApplicationFile": "/job.py"}),
        ));
        assert!(wrong.contains("spec.template"), "{wrong}");
    }

    #[test]
    fn what_runs_is_let_through_and_what_has_no_effect_is_a_warning() {
        assert_eq!(
            judged("CREATE", &pi(&json!({})), &Value::Null),
            Verdict::allowed()
        );
        let schedule = nightly("@daily", &json!({}));
        assert_eq!(
            judged("CREATE", &schedule, &Value::Null),
            Verdict::allowed()
        );
        let limited = pi(&json!({"executor": {"instances": 1, "memoryLimit": "4Gi"}}));
        let verdict = judged("CREATE", &limited, &Value::Null);
        assert_eq!(verdict.outcome, Outcome::Allowed);
        assert!(verdict.warnings[0].contains("memoryLimit"), "{verdict:?}");
        let mut generated = pi(&json!({}));
        generated["metadata"] = json!({"generateName": "pi-", "namespace": "jobs"});
        assert_eq!(
            judged("CREATE", &generated, &Value::Null),
            Verdict::allowed()
        );
        let other = json!({"apiVersion": "v1", "kind": "Pod"});
        assert_eq!(judged("CREATE", &other, &Value::Null), Verdict::allowed());
    }

    #[test]
    fn a_history_server_is_refused_for_its_own_fields_and_not_for_a_bucket_that_may_come() {
        let history = |spec: Value| {
            let mut object = json!({
                "apiVersion": "windlass.dev/v1alpha1",
                "kind": "SparkHistoryServer",
                "metadata": {"name": "jobs", "namespace": "team"},
                "spec": {"sparkVersion": "4.3.0", "image": "apache/spark:4.3.0"},
            });
            for (key, value) in spec.as_object().unwrap() {
                object["spec"][key] = value.clone();
            }
            object
        };
        let good = history(json!({"eventLog": "history"}));
        assert_eq!(judged("CREATE", &good, &Value::Null), Verdict::allowed());
        for (spec, expected) in [
            (json!({}), "spec: must say where event logs are"),
            (
                json!({"eventLog": "a", "logDirectory": "hdfs://a/b"}),
                "spec.logDirectory: is one place more",
            ),
            (json!({"eventLog": "a", "memory": "much"}), "spec.memory"),
        ] {
            let refusal = refusal(&history(spec));
            assert!(refusal.contains(expected), "{refusal}");
        }
    }

    #[test]
    fn a_server_is_refused_for_what_its_operator_would_refuse_and_for_nothing_else() {
        let long = "s".repeat(60);
        let settings = Settings::default();
        for (name, spec, expected) in [
            ("sql", json!({}), None),
            ("sql", json!({"access": {"token": {}}}), None),
            (&*long, json!({}), Some("metadata.name")),
            (
                "sql",
                json!({"server": {"memory": "much"}}),
                Some("spec.server.memory"),
            ),
            (
                "sql",
                json!({"executor": {"instances": 0}}),
                Some("spec.executor.instances"),
            ),
            (
                "sql",
                json!({"idleTimeoutSeconds": 600}),
                Some("spec.idleTimeoutSeconds"),
            ),
            (
                "sql",
                json!({"sparkVersion": "newest"}),
                Some("sparkVersion"),
            ),
            (
                "sql",
                json!({"sparkVersion": "3.5.9", "access": {"token": {}}}),
                Some("spec.access.token"),
            ),
            (
                "sql",
                json!({"server": {"service": {"spec": {"type": "ExternalName"}}}}),
                Some("spec.server.service.spec.type"),
            ),
            (
                "sql",
                json!({"sparkConf": {"spark.kubernetes.namespace": "other"}}),
                Some("spark.kubernetes.namespace"),
            ),
            (
                "sql",
                json!({"server": {"template": 1}}),
                Some("spec.server.template"),
            ),
        ] {
            let object = server(name, &spec);
            let told = match judged("CREATE", &object, &Value::Null).outcome {
                Outcome::Refused(problems) => Some(problems),
                Outcome::Allowed => None,
                other @ Outcome::Changed(_) => panic!("{other:?}"),
            };
            let later = SparkConnect::deserialize(&object)
                .map_err(|error| vec![error.to_string()])
                .and_then(|connect| connect::wanted(&connect, &settings));
            assert_eq!(told, later.err(), "{spec}");
            let told = told.map(|problems| problems.join("\n"));
            let is_as_expected = match (&told, expected) {
                (None, None) => true,
                (Some(told), Some(field)) => told.contains(field),
                _ => false,
            };
            assert!(is_as_expected, "{spec}: {told:?}");
        }
        let bad = server("sql", &json!({"server": {"memory": "much"}}));
        let mut labelled = bad.clone();
        labelled["metadata"]["labels"] = json!({"a": "b"});
        assert_eq!(judged("UPDATE", &labelled, &bad), Verdict::allowed());
        let worse = server("sql", &json!({"server": {"memory": "more"}}));
        let worse = judged("UPDATE", &worse, &bad);
        assert!(matches!(worse.outcome, Outcome::Refused(_)));
    }

    #[test]
    fn what_policies_refuse_is_refused_and_what_they_decide_is_a_warning() {
        let under = |policy: &Value, object: &Value| {
            let layers = crate::policy::read_file(&policy.to_string()).unwrap();
            let policies = Policies::of(&layers, [], "jobs");
            validate(
                &request("CREATE", object, &Value::Null),
                &Settings::default(),
                &OldImages::default(),
                &policies,
            )
        };
        let policy = json!({
            "apiVersion": "windlass.dev/v1alpha1", "kind": "SparkPolicy",
            "metadata": {"name": "all"},
            "spec": {
                "allowedImages": ["apache/spark"],
                "enforced": {"driver": {"memory": "512m"}},
                "imageAliases": [
                    {"name": "spark-4.3", "image": "apache/spark:4.3.0", "sparkVersion": "4.3.0"},
                ],
            },
        });
        let decided = under(&policy, &pi(&json!({"driver": {"memory": "8g"}})));
        assert_eq!(decided.outcome, Outcome::Allowed);
        assert_eq!(
            decided.warnings,
            ["spec.driver.memory is decided by SparkPolicy all"]
        );
        let named = pi(&json!({"image": null, "sparkVersion": "spark-4.3"}));
        assert_eq!(under(&policy, &named), Verdict::allowed());
        let other = json!({"image": "evil.example.org/spark:4.3.0"});
        let server = json!({
            "apiVersion": "sparkoperator.k8s.io/v1alpha1", "kind": "SparkConnect",
            "metadata": {"name": "sql", "namespace": "jobs"},
            "spec": {"sparkVersion": "4.3.0", "image": "evil.example.org/spark:4.3.0"},
        });
        for (object, field) in [
            (pi(&other), "spec.image"),
            (nightly("@daily", &other), "spec.template.image"),
            (server, "spec.image"),
        ] {
            let Outcome::Refused(problems) = under(&policy, &object).outcome else {
                panic!("{object}");
            };
            assert!(problems.concat().starts_with(field), "{problems:?}");
        }
        let mut broken = policy.clone();
        broken["spec"]["allowedImages"] = json!([]);
        let refused = judged("CREATE", &broken, &Value::Null).outcome;
        assert!(matches!(refused, Outcome::Refused(_)), "{refused:?}");
    }

    fn original(driver: &Value) -> Value {
        let mut original = json!({
            "apiVersion": "spark-operator.k8s.io/v1alpha1",
            "kind": "SparkApplication",
            "metadata": {"name": "first", "namespace": "jobs", "uid": "u-1"},
            "spec": {
                "type": "Python", "mainApplicationFile": "local:///job.py",
                "driver": {"image": "apache/spark:4.3.0"},
                "executor": {"image": "apache/spark:4.3.0", "instances": 1},
            },
        });
        for (key, value) in driver.as_object().unwrap() {
            original["spec"]["driver"][key] = value.clone();
        }
        original
    }

    #[test]
    fn an_application_of_the_first_operator_is_judged_as_what_it_is_converted_into() {
        let replace = OldImages::Replace("apache/spark:4.3.0".parse().unwrap());
        let layers = crate::policy::read_file(
            &json!({
                "apiVersion": "windlass.dev/v1alpha1", "kind": "SparkPolicy",
                "metadata": {"name": "all"},
                "spec": {
                    "allowedImages": ["apache/spark"],
                    "enforced": {"driver": {"memory": "512m"}},
                },
            })
            .to_string(),
        )
        .unwrap();
        let policies = Policies::of(&layers, [], "jobs");
        let judged = |object: &Value, old_images: &OldImages| {
            let request = request("CREATE", object, &Value::Null);
            validate(&request, &Settings::default(), old_images, &policies)
        };
        let as_it_is = original(&json!({}));
        assert_eq!(judged(&as_it_is, &OldImages::Refuse), Verdict::allowed());

        let old = original(&json!({"image": "kubespark/spark-driver:v2.2.0-kubernetes-0.5.0"}));
        let Outcome::Refused(problems) = judged(&old, &OldImages::Refuse).outcome else {
            panic!("{old}");
        };
        let typed = OriginalSparkApplication::deserialize(&old).unwrap();
        assert_eq!(Err(problems), wanted(&typed, &OldImages::Refuse));
        let replaced = judged(&old, &replace);
        assert_eq!(replaced.outcome, Outcome::Allowed);
        assert!(
            replaced.warnings[0].starts_with("spec.driver.image: "),
            "{replaced:?}"
        );

        for (driver, field) in [
            (
                json!({"image": "evil.example.org/spark:4.3.0"}),
                "spec.driver.image",
            ),
            (json!({"memory": "much"}), "spec.driver.memory"),
            (json!({"cores": "many"}), "spec.driver.cores"),
        ] {
            let told = judged(&original(&driver), &OldImages::Refuse).outcome;
            let Outcome::Refused(problems) = told else {
                panic!("{driver}: {told:?}");
            };
            assert!(problems.concat().starts_with(field), "{problems:?}");
        }
        let decided = judged(&original(&json!({"memory": "8g"})), &OldImages::Refuse);
        assert_eq!(
            decided.warnings,
            ["spec.driver.memory is decided by SparkPolicy all"]
        );

        // What its user submits is nobody's to judge, but for the label that has to hold its name.
        let mut own = old.clone();
        own["spec"]["submissionByUser"] = json!(true);
        assert_eq!(judged(&own, &OldImages::Refuse), Verdict::allowed());
        own["metadata"]["name"] = json!("n".repeat(60));
        let refused = judged(&own, &OldImages::Refuse).outcome;
        assert!(matches!(refused, Outcome::Refused(_)), "{refused:?}");
    }

    #[test]
    fn what_is_bad_already_can_be_labelled_and_deleted_but_not_made_worse() {
        let bad = pi(&json!({"driver": {"memory": "much"}}));
        let mut labelled = bad.clone();
        labelled["metadata"]["labels"] = json!({"a": "b"});
        assert_eq!(judged("UPDATE", &labelled, &bad), Verdict::allowed());
        assert_eq!(judged("DELETE", &Value::Null, &bad), Verdict::allowed());
        let mut going = pi(&json!({"driver": {"memory": "more"}}));
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(judged("UPDATE", &going, &bad), Verdict::allowed());
        let worse = judged("UPDATE", &pi(&json!({"driver": {"memory": "more"}})), &bad);
        assert!(matches!(worse.outcome, Outcome::Refused(_)));
    }
}
