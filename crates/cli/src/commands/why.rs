//! `windlass why`: what is not well with an application, a schedule, a server or a virtual cluster, and what to do.

use jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use windlass_director::diagnosis as director;
use windlass_spark::diagnosis::{
    Evidence, diagnose, diagnose_history, diagnose_schedule, diagnose_server,
};

use crate::applications::Place;
use crate::args::{Told, WhyArgs};
use crate::evidence::{Gathered, gather};
use crate::exit::{Exit, Failure};
use crate::findings::{Finding, paragraphs};
use crate::kinds::{Kind, Subject};
use crate::output::{data, talk};
use crate::shown::{document, state};

/// Looks, judges and tells.
pub async fn why(args: WhyArgs) -> Result<Exit, Failure> {
    let place = Place::open(&args.place).await?;
    let subject = &args.object;
    let mut judgements = vec![judge(&place, subject).await?];
    // A schedule is well as long as it starts runs; how they fare is what people ask about.
    let last = judgements
        .first()
        .filter(|_| subject.kind == Kind::Schedule)
        .and_then(|it| it.object["status"]["lastRunName"].as_str())
        .map(Subject::application);
    if let Some(run) = last
        && place
            .applications()
            .get_metadata_opt(&run.name)
            .await
            .is_ok_and(|it| it.is_some())
    {
        judgements.push(judge(&place, &run).await?);
    }
    for line in judgements.iter().flat_map(|it| &it.unread) {
        talk(&format!("note: {line}"));
    }
    match args.output {
        Told::Text => {
            let texts = judgements.iter().map(|it| it.text(&place));
            data(&texts.collect::<Vec<_>>().join("\n\n"))
        }
        Told::Json | Told::Yaml => {
            let mut documents = judgements.iter().map(|it| it.document(&place));
            let mut whole = documents.next().unwrap_or_default();
            if let Some(run) = documents.next() {
                whole["lastRun"] = run;
            }
            document(&whole, args.output == Told::Json)
        }
    }
}

/// What was found about one object.
pub struct Judgement {
    /// The object.
    pub object: Value,
    /// What is not well.
    pub findings: Vec<Finding>,
    subject: Subject,
    state: String,
    unread: Vec<String>,
}

/// Looks at an object and judges it.
pub async fn judge(place: &Place, subject: &Subject) -> Result<Judgement, Failure> {
    let now = Timestamp::now();
    let (object, findings, unread) = match subject.kind {
        Kind::Schedule => {
            let object = place.object(subject).await?;
            let object = serde_json::to_value(object).map_err(Failure::internal)?;
            let findings = told(diagnose_schedule(&object, now));
            (object, findings, Vec::new())
        }
        Kind::Cluster => {
            let Gathered { evidence, unread } = gather(place, subject).await?;
            let pods = evidence.pods.into_iter().map(|it| it.pod);
            let evidence = director::Evidence {
                cluster: evidence.application,
                pods: pods.collect(),
                events: evidence.events,
                claims: evidence.claims,
            };
            let findings = told(director::diagnose(&evidence, now));
            (evidence.cluster, findings, unread)
        }
        Kind::Application | Kind::Connect | Kind::History => {
            let Gathered { evidence, unread } = gather(place, subject).await?;
            let findings = match subject.kind {
                Kind::Connect => diagnose_server(&evidence, now),
                Kind::History => diagnose_history(&evidence, now),
                _ => diagnose(&evidence, now),
            };
            let Evidence { application, .. } = evidence;
            (application, told(findings), unread)
        }
    };
    let read: Result<DynamicObject, _> = serde_json::from_value(object.clone());
    let state = read.map_or_else(|_| "New".to_owned(), |it| state(subject.kind, &it));
    Ok(Judgement {
        object,
        findings,
        subject: subject.clone(),
        state,
        unread,
    })
}

impl Judgement {
    /// For people.
    fn text(&self, place: &Place) -> String {
        let mut lines = vec![format!("{} is {}", place.about(&self.subject), self.state)];
        if self.findings.is_empty() {
            lines.push("nothing is found to be wrong with it".to_owned());
        }
        lines.extend(paragraphs(&self.findings));
        lines.join("\n")
    }

    /// For programs: the state is the API's own word.
    fn document(&self, place: &Place) -> Value {
        let status = &self.object["status"];
        let state = match self.subject.kind {
            Kind::Application => &status["applicationState"]["state"],
            Kind::Schedule => &status["scheduleState"],
            Kind::Connect | Kind::Cluster => &status["state"],
            Kind::History => &status["phase"],
        };
        json!({
            "kind": self.subject.kind.resource().kind,
            "namespace": place.namespace,
            "name": self.subject.name,
            "state": state,
            "findings": self.findings,
        })
    }
}

fn told<F: Into<Finding>>(findings: Vec<F>) -> Vec<Finding> {
    findings.into_iter().map(Into::into).collect()
}
