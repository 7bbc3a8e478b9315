//! `windlass diff`: what applying a file would change of an application, and what becomes of its
//! run. Nothing is changed: the cluster only says what defaults it would give.

use kube::api::{DynamicObject, ObjectMeta, PostParams};
use serde_json::{Value, json};
use windlass_api::spark::original::OldImages;
use windlass_spark::lifecycle::changes::Effect;
use windlass_spark::lifecycle::difference::{Difference, differences};

use crate::applications::{Place, state};
use crate::args::{DiffArgs, Told};
use crate::exit::{Exit, Failure};
use crate::manifest;
use crate::output::{data, table};
use crate::run::follow::application_resource;
use crate::run::preflight::api_failure;
use crate::shown::document;

/// Compares and tells.
pub async fn diff(mut args: DiffArgs) -> Result<Exit, Failure> {
    let source = args.file.display().to_string();
    let application = manifest::load(&args.file, &OldImages::Refuse)?.application;
    let policies = manifest::policies(args.policy.as_deref())?;
    let checked = manifest::check_by(&policies, &application, &source)?;
    if args.place.namespace.is_none() {
        args.place.namespace = checked.metadata.namespace;
    }
    let name = checked.metadata.name.unwrap_or_default();
    let place = Place::open(&args.place).await?;
    let found = place.applications().get_opt(&name).await;
    let found = found.map_err(api_failure)?;
    let then = with_defaults(&place, &application["spec"]).await?;
    let now = found
        .as_ref()
        .map_or(Value::Null, |it| it.data["spec"].clone());
    let differences = differences(&now, &then);
    let is_now = found.as_ref().map(state);
    match args.output {
        Told::Text => data(&text(
            &format!("{}/{name}", place.namespace),
            is_now,
            &differences,
        ))?,
        Told::Json | Told::Yaml => document(
            &json!({
                "namespace": place.namespace,
                "name": name,
                "state": is_now,
                "differences": differences.iter().map(row_of_document).collect::<Vec<_>>(),
            }),
            args.output == Told::Json,
        )?,
    };
    if args.exit_code && (found.is_none() || !differences.is_empty()) {
        return Ok(Exit::JobFailed);
    }
    Ok(Exit::Completed)
}

/// The spec as the cluster would keep it, by a creation that is not carried out. It has another
/// name, since one of this name may be there.
async fn with_defaults(place: &Place, spec: &Value) -> Result<Value, Failure> {
    let mut object = DynamicObject::new("", &application_resource());
    object.metadata = ObjectMeta {
        generate_name: Some("diff-".to_owned()),
        ..ObjectMeta::default()
    };
    object.data = json!({ "spec": spec });
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let created = place.applications().create(&params, &object).await;
    Ok(created.map_err(api_failure)?.data["spec"].take())
}

/// The differences for people. `state` is that of the application, if there is one.
fn text(name: &str, state: Option<&str>, differences: &[Difference]) -> String {
    let Some(state) = state else {
        return format!("{name} is not there: applying the file creates it");
    };
    if differences.is_empty() {
        return format!("{name} is {state}, and its spec is that of the file");
    }
    let rows: Vec<Vec<String>> = differences
        .iter()
        .map(|it| {
            vec![
                it.path.clone(),
                cell(it.now.as_ref()),
                cell(it.then.as_ref()),
                word(it.effect).to_owned(),
            ]
        })
        .collect();
    let rows = table(&["FIELD", "NOW", "THEN", "EFFECT"], &rows);
    format!(
        "{name} is {state}\n\n{rows}\n\n{}",
        outcome(state, differences)
    )
}

/// What becomes of the application as a whole: the gravest effect tells.
fn outcome(state: &str, differences: &[Difference]) -> String {
    let gravest = differences.iter().map(|it| it.effect).max();
    let ended = matches!(state, "COMPLETED" | "FAILED" | "SUBMISSION_FAILED");
    match gravest {
        Some(Effect::Rejected) => {
            let fields: Vec<&str> = differences
                .iter()
                .filter(|it| it.effect == Effect::Rejected)
                .map(|it| it.path.as_str())
                .collect();
            format!(
                "{} cannot be changed: what runs would go on, and nothing of the change would \
                 hold; delete the application and create it anew",
                fields.join(", ")
            )
        }
        Some(Effect::Restart) if ended => "applying it runs the application again".to_owned(),
        Some(Effect::Restart) if matches!(state, "SUSPENDED" | "SUSPENDING") => {
            "the application has it when it is resumed".to_owned()
        }
        Some(Effect::Restart) => {
            "applying it stops what runs, and the application runs from its start".to_owned()
        }
        Some(Effect::NextAttempt) if ended => {
            "applying it runs nothing; another run would have it".to_owned()
        }
        Some(Effect::NextAttempt) => "what runs goes on; the next attempt has it".to_owned(),
        Some(Effect::InPlace) | None => "it holds at once, and nothing is restarted".to_owned(),
    }
}

fn word(effect: Effect) -> &'static str {
    match effect {
        Effect::InPlace => "in place",
        Effect::NextAttempt => "next attempt",
        Effect::Restart => "restart",
        Effect::Rejected => "rejected",
    }
}

/// A value in a column, of which the rest is cut off.
fn cell(value: Option<&Value>) -> String {
    const WIDTH: usize = 40;
    let text = match value {
        None => return "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let text = text.replace(char::is_control, " ");
    if text.chars().count() <= WIDTH {
        return text;
    }
    let kept: String = text.chars().take(WIDTH - 3).collect();
    format!("{kept}...")
}

fn row_of_document(difference: &Difference) -> Value {
    json!({
        "path": difference.path,
        "now": difference.now,
        "then": difference.then,
        "effect": word(difference.effect),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specs(now: Value, then: Value) -> Vec<Difference> {
        differences(&now, &then)
    }

    #[test]
    fn the_gravest_change_tells_what_becomes_of_the_run() {
        let in_place = || specs(json!({}), json!({"timeToLiveSeconds": 1}));
        let next = || {
            [
                in_place(),
                specs(json!({}), json!({"nodeSelector": {"a": "b"}})),
            ]
            .concat()
        };
        let restart = || [next(), specs(json!({}), json!({"image": "a"}))].concat();
        let rejected = || [restart(), specs(json!({}), json!({"mode": "client"}))].concat();
        for (state, differences, expected) in [
            ("RUNNING", in_place(), "it holds at once"),
            ("RUNNING", next(), "what runs goes on; the next attempt"),
            ("COMPLETED", next(), "applying it runs nothing"),
            ("RUNNING", restart(), "applying it stops what runs"),
            (
                "FAILED",
                restart(),
                "applying it runs the application again",
            ),
            ("SUSPENDED", restart(), "has it when it is resumed"),
            ("RUNNING", rejected(), "spec.mode cannot be changed"),
        ] {
            let told = outcome(state, &differences);
            assert!(told.contains(expected), "{state}: {told}");
        }
    }

    #[test]
    fn a_table_shows_what_is_and_what_is_to_be() {
        let now = json!({"image": "a", "arguments": ["10"]});
        let then = json!({"image": "b", "arguments": ["10"], "timeToLiveSeconds": 60});
        let expected = "\
default/pi is RUNNING

FIELD                    NOW   THEN   EFFECT
spec.image               a     b      restart
spec.timeToLiveSeconds   -     60     in place

applying it stops what runs, and the application runs from its start";
        assert_eq!(
            text("default/pi", Some("RUNNING"), &specs(now, then)),
            expected
        );
        let nothing = text("default/pi", Some("New"), &[]);
        assert_eq!(
            nothing,
            "default/pi is New, and its spec is that of the file"
        );
        let new = text("default/pi", None, &[]);
        assert_eq!(new, "default/pi is not there: applying the file creates it");
    }

    #[test]
    fn a_long_value_is_cut_and_stays_in_its_line() {
        let text = cell(Some(&json!("a\nb".repeat(30))));
        assert_eq!(text.chars().count(), 40);
        assert!(text.starts_with("a b") && text.ends_with("..."), "{text}");
    }
}
