//! How objects are printed: in tables of their kind, as documents, or by their names.

use jiff::Timestamp;
use kube::api::{DynamicObject, TypeMeta};
use serde_json::{Value, json};

use crate::args::Show;
use crate::exit::{Exit, Failure};
use crate::kinds::Kind;
use crate::output::{data, table};
use crate::{applications, clusters, connects, histories, schedules};

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One object.
    One,
    /// Several of one namespace.
    Namespace,
    /// Those of all namespaces.
    AllNamespaces,
}

/// An object of one of our kinds.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its kind.
    pub kind: Kind,
    /// The object.
    pub object: DynamicObject,
}

/// Prints objects.
pub fn show(found: &[Found], how: Show, scope: Scope) -> Result<Exit, Failure> {
    match how {
        Show::Table | Show::Wide => {
            let (now, wide) = (Timestamp::now(), how == Show::Wide);
            let tables = Kind::ALL.into_iter().filter_map(|kind| {
                let of_kind = found.iter().filter(|it| it.kind == kind);
                let rows: Vec<Vec<String>> = of_kind.map(|it| row(it, wide, scope, now)).collect();
                (!rows.is_empty()).then(|| table(&head(kind, wide, scope), &rows))
            });
            data(&tables.collect::<Vec<_>>().join("\n\n"))
        }
        Show::Name => {
            let names = found.iter().map(|it| {
                let name = it.object.metadata.name.as_deref().unwrap_or_default();
                format!("{}/{name}", it.kind.qualified())
            });
            data(&names.collect::<Vec<_>>().join("\n"))
        }
        Show::Json | Show::Yaml => {
            let values = found.iter().map(value);
            let mut values = values.collect::<Result<Vec<Value>, Failure>>()?;
            let whole = match (values.len(), scope) {
                (1, Scope::One) => values.remove(0),
                _ => json!({"apiVersion": "v1", "kind": "List", "items": values}),
            };
            document(&whole, how == Show::Json)
        }
    }
}

/// Prints one document.
pub fn document(value: &Value, as_json: bool) -> Result<Exit, Failure> {
    if as_json {
        return data(&serde_json::to_string_pretty(value).map_err(Failure::internal)?);
    }
    let text = windlass_api::parse::to_yaml(value).map_err(Failure::internal)?;
    data(text.trim_end())
}

/// How an object stands, in one word.
pub fn state(kind: Kind, object: &DynamicObject) -> String {
    match kind {
        Kind::Application => applications::state(object).to_owned(),
        Kind::Schedule => schedules::state(&object.data),
        Kind::Connect => connects::state(&object.data).to_owned(),
        Kind::History => histories::state(&object.data).to_owned(),
        Kind::Cluster => clusters::state(&object.data).to_owned(),
    }
}

/// What is said of an object that is not as it should be, or waits.
pub fn message(kind: Kind, object: &DynamicObject) -> String {
    match kind {
        Kind::Application => applications::message(&object.data),
        Kind::Schedule => text(&object.data, "/status/reason"),
        Kind::Connect => connects::message(&object.data),
        Kind::History => histories::message(&object.data),
        Kind::Cluster => clusters::message(&object.data),
    }
}

/// An age in its largest unit, as kubectl shows it.
pub fn age(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{}s", seconds.max(0)),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long ago something was.
pub fn ago(time: Timestamp, now: Timestamp) -> String {
    format!("{} ago", age(now.duration_since(time).as_secs()))
}

/// The age of an object.
pub fn age_of(object: &DynamicObject, now: Timestamp) -> String {
    let created = object.metadata.creation_timestamp.as_ref();
    created.map_or_else(String::new, |created| {
        age(now.duration_since(created.0).as_secs())
    })
}

/// A text of an object, empty where there is none.
pub fn text(object: &Value, pointer: &str) -> String {
    let value = object.pointer(pointer).and_then(Value::as_str);
    value.unwrap_or_default().to_owned()
}

/// A time of an object.
pub fn time(object: &Value, pointer: &str) -> Option<Timestamp> {
    text(object, pointer).parse().ok()
}

/// A cell that is never empty.
pub fn or_none(text: String) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}

/// The lines about one object, without those that would say nothing.
pub fn lines(rows: Vec<(&str, String)>) -> Vec<String> {
    rows.into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name:<12}{value}"))
        .collect()
}

fn head(kind: Kind, wide: bool, scope: Scope) -> Vec<&'static str> {
    let mut head = match kind {
        Kind::Application => applications::head(wide),
        Kind::Schedule => schedules::head(wide),
        Kind::Connect => connects::head(wide),
        Kind::History => histories::head(wide),
        Kind::Cluster => clusters::head(wide),
    };
    if scope == Scope::AllNamespaces {
        head.insert(0, "NAMESPACE");
    }
    head
}

fn row(found: &Found, wide: bool, scope: Scope, now: Timestamp) -> Vec<String> {
    let object = &found.object;
    let mut row = match found.kind {
        Kind::Application => applications::row(object, wide, now),
        Kind::Schedule => schedules::row(object, wide, now),
        Kind::Connect => connects::row(object, wide, now),
        Kind::History => histories::row(object, wide, now),
        Kind::Cluster => clusters::row(object, wide, now),
    };
    if scope == Scope::AllNamespaces {
        row.insert(0, object.metadata.namespace.clone().unwrap_or_default());
    }
    row
}

/// The object as it would be written, with its kind, which lists leave out.
fn value(found: &Found) -> Result<Value, Failure> {
    let mut object = found.object.clone();
    let resource = found.kind.resource();
    object.types = Some(TypeMeta {
        api_version: resource.api_version,
        kind: resource.kind,
    });
    object.metadata.managed_fields = None;
    serde_json::to_value(object).map_err(Failure::internal)
}
