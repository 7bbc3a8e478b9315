//! `windlass why`: what is not well with an application, and what to do.

use jiff::Timestamp;
use serde_json::json;
use windlass_spark::diagnosis::{Evidence, Finding, diagnose};

use crate::applications::{Place, document, queued};
use crate::args::{Told, WhyArgs};
use crate::evidence::{Gathered, gather};
use crate::exit::{Exit, Failure};
use crate::output::{data, talk};

/// Looks, judges and tells.
pub async fn why(args: WhyArgs) -> Result<Exit, Failure> {
    let place = Place::open(&args.place).await?;
    let Gathered { evidence, unread } = gather(&place, &args.name).await?;
    let findings = diagnose(&evidence, Timestamp::now());
    for line in unread {
        talk(&format!("note: {line}"));
    }
    let status = &evidence.application["status"];
    match args.output {
        Told::Text => data(&text(&place.namespace, &args.name, &evidence, &findings)),
        Told::Json | Told::Yaml => document(
            &json!({
                "namespace": place.namespace,
                "name": args.name,
                "state": status["applicationState"]["state"],
                "findings": findings,
            }),
            args.output == Told::Json,
        ),
    }
}

/// The judgement for people.
pub fn text(namespace: &str, name: &str, evidence: &Evidence, findings: &[Finding]) -> String {
    let state = evidence.application["status"]["applicationState"]["state"]
        .as_str()
        .filter(|state| !state.is_empty())
        .unwrap_or("New");
    let state = match queued(&evidence.application) {
        Some(_) => "QUEUED",
        None => state,
    };
    let mut lines = vec![format!("{namespace}/{name} is {state}")];
    if findings.is_empty() {
        lines.push("nothing is found to be wrong with it".to_owned());
    }
    for finding in findings {
        lines.push(String::new());
        lines.extend(block(finding));
    }
    lines.join("\n")
}

/// One finding.
pub fn block(finding: &Finding) -> Vec<String> {
    let mut lines = vec![format!("{}: {}", finding.cause.as_str(), finding.what)];
    lines.extend(
        finding
            .evidence
            .iter()
            .map(|line| format!("  seen  {line}")),
    );
    lines.push(format!("  next  {}", finding.next));
    lines
}
