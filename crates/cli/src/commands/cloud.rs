//! `windlass cloud`: whose machines a cluster runs on, why that is thought, and what claims would get.
//!
//! Laws: nothing is changed; what may not be read is told.

use kube::Client;
use kube::api::{ApiResource, GroupVersionKind};
use windlass_engine::Object;
use windlass_spark::survey::Look;
use windlass_storage::classes::class::Class;
use windlass_storage::classes::evidence::{Evidence, Metadata, Source, Told as Says};
use windlass_storage::classes::metadata::{Endpoints, ask};
use windlass_storage::classes::report::{Report, report};

use super::check::list;
use crate::args::{CloudArgs, Told};
use crate::connect::{Connection, Start};
use crate::exit::{Exit, Failure};
use crate::output::{data, table, talk};
use crate::shown::document;

/// Looks, and tells.
pub async fn cloud(args: CloudArgs) -> Result<Exit, Failure> {
    let connection = Connection::open(&args.cluster, Start::Never).await?;
    let client = connection.client();
    let nodes = seen(client, "", "Node").await?;
    let drivers = seen(client, "storage.k8s.io", "CSIDriver").await?;
    let classes = seen(client, "storage.k8s.io", "StorageClass").await?;
    let mut evidence = Evidence::of(&nodes, &drivers, &classes);
    if args.storage.storage_metadata {
        evidence.metadata = Metadata::Asked(ask(&Endpoints::default()).await);
    }
    let report = report(&evidence, &args.storage.settings(&[]));
    match args.output {
        Told::Text => data(&text(&report)),
        Told::Json | Told::Yaml => {
            let value = serde_json::to_value(&report).map_err(Failure::internal)?;
            document(&value, args.output == Told::Json)
        }
    }
}

/// The objects of a kind, none where they may not be read, which is told.
async fn seen(client: &Client, group: &str, kind: &str) -> Result<Vec<Object>, Failure> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
    match list(client, &resource, &[]).await? {
        Look::Seen(found) => Ok(found.into_iter().map(Object::new).collect()),
        Look::Refused(why) => {
            talk(&format!("note: {kind}s may not be read: {why}"));
            Ok(Vec::new())
        }
    }
}

/// The report for people.
fn text(report: &Report) -> String {
    let mut parts = vec![match (report.provider, report.by) {
        (Some(provider), Some(by)) => {
            format!("Machines of {provider}, by {}.", by.as_str())
        }
        _ => "Nothing tells whose machines these are.".to_owned(),
    }];
    parts.extend(report.contradictions.iter().map(|it| format!("But {it}.")));
    let evidence = report
        .evidence
        .iter()
        .map(|it| vec![it.source.as_str().to_owned(), says(it)]);
    parts.push(table(&["EVIDENCE", "SAYS"], &evidence.collect::<Vec<_>>()));
    let drivers: Vec<Vec<String>> = report
        .drivers
        .iter()
        .map(|it| {
            let of = it
                .provider
                .map_or_else(|| "-".to_owned(), |it| it.to_string());
            let use_of_it = if it.is_known {
                "by itself"
            } else {
                "where it is named"
            };
            vec![it.name.clone(), of, use_of_it.to_owned()]
        })
        .collect();
    if drivers.is_empty() {
        parts.push("No driver is installed.".to_owned());
    } else {
        parts.push(table(&["DRIVER", "MACHINES OF", "TAKEN"], &drivers));
    }
    let claims = report.claims.iter().map(|it| {
        let gets = match (&it.class, &it.message) {
            (Some(class), _) => class_in_words(class),
            (None, Some(message)) => format!("nothing: {message}"),
            (None, None) => String::new(),
        };
        vec![it.access_mode.clone(), gets]
    });
    parts.push(table(&["A CLAIM", "GETS"], &claims.collect::<Vec<_>>()));
    parts.join("\n\n")
}

fn says(told: &Says) -> String {
    let names = told
        .names
        .iter()
        .map(|(provider, words)| match told.source {
            Source::Setting => provider.to_string(),
            _ => format!("{provider} ({words})"),
        });
    let words: Vec<String> = names.chain(told.note.clone()).collect();
    if words.is_empty() {
        "nothing".to_owned()
    } else {
        words.join("; ")
    }
}

fn class_in_words(class: &Class) -> String {
    let grows = match class.allow_volume_expansion {
        Some(true) => "; it can grow",
        Some(false) => "; it cannot grow",
        None => "",
    };
    format!("{class}{grows}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use windlass_storage::classes::Settings;

    use super::*;

    #[test]
    fn people_are_told_what_was_found_and_what_follows() {
        let of = |value| Object::new(value);
        let nodes = [of(json!({"spec": {"providerID": "aws:///eu-west-1a/i-1"}}))];
        let drivers = ["ebs.csi.aws.com", "efs.csi.aws.com", "example.com/own"];
        let drivers = drivers.map(|name| of(json!({"metadata": {"name": name}})));
        let classes = [of(json!({
            "metadata": {"name": "standard"}, "provisioner": "kubernetes.io/gce-pd",
        }))];
        let evidence = Evidence::of(&nodes, &drivers, &classes);
        insta::assert_snapshot!(text(&report(&evidence, &Settings::default())));
        let nothing = report(&Evidence::default(), &Settings::default());
        insta::assert_snapshot!(text(&nothing));
    }
}
