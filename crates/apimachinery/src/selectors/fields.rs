//! Field selectors (`status.phase=Running,spec.nodeName!=`).

use serde_json::Value;

use super::SelectorError;
use crate::field::quote;

/// A parsed field selector, already checked against the fields its kind supports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    field: String,
    source: Source,
    equal: bool,
    value: String,
}

impl FieldSelector {
    /// Parses a `fieldSelector` parameter for a kind that supports `fields`.
    pub fn parse(text: &str, fields: &SelectableFields) -> Result<Self, SelectorError> {
        let mut terms = Vec::new();
        for part in split_terms(text) {
            if part.is_empty() {
                continue;
            }
            let (field, equal, raw) = split_operator(part).ok_or_else(|| {
                SelectorError::new(format!(
                    "invalid selector: '{text}'; can't understand '{part}'"
                ))
            })?;
            let value = unescape(raw)?;
            let source = fields.source(field)?;
            terms.push(Term {
                field: field.to_owned(),
                source,
                equal,
                value,
            });
        }
        Ok(Self { terms })
    }

    /// Whether the selector admits everything.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether the object has all required field values. An absent field counts as empty.
    pub fn matches(&self, object: &Value) -> bool {
        self.terms
            .iter()
            .all(|term| (term.source.read(object) == term.value) == term.equal)
    }

    /// The value a field must have, where the selector pins it with `=`.
    ///
    /// Lets a list by `metadata.name=x` become a single read.
    pub fn required_value(&self, field: &str) -> Option<&str> {
        self.terms
            .iter()
            .find(|term| term.equal && term.field == field)
            .map(|term| term.value.as_str())
    }
}

/// The fields by which objects of one kind can be selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectableFields {
    fields: Vec<(String, Source)>,
    unsupported: Unsupported,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unsupported {
    /// Kinds without fields of their own name the two that always work.
    NamesTheCommonOnes,
    /// Kinds with a table of their own only name the offender.
    NamesTheOffender,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// The text of the value at this path.
    Path(Vec<String>),
    /// The first of several paths that is set.
    FirstOf(Vec<Vec<String>>),
    /// Whether a pod uses its node's network, as `true` or `false`.
    HostNetwork,
}

impl Source {
    fn read(&self, object: &Value) -> String {
        match self {
            Self::Path(path) => read_path(object, path),
            Self::FirstOf(paths) => paths
                .iter()
                .map(|path| read_path(object, path))
                .find(|text| !text.is_empty())
                .unwrap_or_default(),
            Self::HostNetwork => object
                .pointer("/spec/hostNetwork")
                .and_then(Value::as_bool)
                .unwrap_or_default()
                .to_string(),
        }
    }
}

fn read_path(object: &Value, path: &[String]) -> String {
    let mut value = object;
    for step in path {
        match value.get(step.as_str()) {
            Some(next) => value = next,
            None => return String::new(),
        }
    }
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

impl SelectableFields {
    /// What kube-apiserver supports for a built-in kind; unknown kinds get the common two fields.
    pub fn builtin(group: &str, kind: &str) -> Self {
        let own: &[&str] = match (group, kind) {
            ("", "Pod") => &[
                "spec.nodeName",
                "spec.restartPolicy",
                "spec.schedulerName",
                "spec.serviceAccountName",
                "status.phase",
                "status.podIP",
                "status.nominatedNodeName",
            ],
            ("" | "events.k8s.io", "Event") => &["reason", "type"],
            ("", "Node") => &["spec.unschedulable"],
            ("", "Secret") => &["type"],
            ("", "Namespace") => &["status.phase"],
            ("", "ReplicationController") => &["status.replicas"],
            ("", "Service") => &["spec.clusterIP", "spec.type"],
            ("batch", "Job") => &["status.successful"],
            ("apps", "ReplicaSet") => &["status.replicas"],
            ("certificates.k8s.io", "CertificateSigningRequest") => &["spec.signerName"],
            _ => &[],
        };
        let mut table = Self::common();
        for field in own {
            table.add(field);
        }
        match (group, kind) {
            ("", "Pod") => {
                table
                    .fields
                    .push(("spec.hostNetwork".to_owned(), Source::HostNetwork));
                // A pod without podIP may still list its addresses in podIPs.
                table.unsupported = Unsupported::NamesTheOffender;
            }
            ("", "Event") => table.add_event_fields("involvedObject"),
            ("events.k8s.io", "Event") => table.add_event_fields("regarding"),
            _ => {}
        }
        if !own.is_empty() {
            table.unsupported = Unsupported::NamesTheOffender;
        }
        table
    }

    /// The common fields and the `selectableFields[].jsonPath` of a CRD version.
    pub fn custom<'a>(json_paths: impl IntoIterator<Item = &'a str>) -> Self {
        let mut table = Self::common();
        for path in json_paths {
            table.add(path.trim_start_matches('.'));
        }
        table.unsupported = Unsupported::NamesTheOffender;
        table
    }

    fn common() -> Self {
        let mut table = Self {
            fields: Vec::new(),
            unsupported: Unsupported::NamesTheCommonOnes,
        };
        table.add("metadata.name");
        table.add("metadata.namespace");
        table
    }

    fn add(&mut self, field: &str) {
        self.fields
            .push((field.to_owned(), Source::Path(split_path(field))));
    }

    /// Events are stored once and read through two groups, so both spellings are looked up.
    fn add_event_fields(&mut self, subject: &str) {
        for leaf in [
            "kind",
            "namespace",
            "name",
            "uid",
            "apiVersion",
            "resourceVersion",
            "fieldPath",
        ] {
            let paths = ["involvedObject", "regarding"]
                .map(|root| vec![root.to_owned(), leaf.to_owned()])
                .to_vec();
            self.fields
                .push((format!("{subject}.{leaf}"), Source::FirstOf(paths)));
        }
        let reporter = vec![
            split_path("reportingComponent"),
            split_path("reportingController"),
            split_path("source.component"),
            split_path("deprecatedSource.component"),
        ];
        let name = if subject == "regarding" {
            "reportingController"
        } else {
            "reportingComponent"
        };
        self.fields
            .push((name.to_owned(), Source::FirstOf(reporter)));
        let source = vec![
            split_path("source.component"),
            split_path("deprecatedSource.component"),
            split_path("reportingComponent"),
            split_path("reportingController"),
        ];
        self.fields
            .push(("source".to_owned(), Source::FirstOf(source)));
    }

    fn source(&self, field: &str) -> Result<Source, SelectorError> {
        if let Some((_, source)) = self.fields.iter().find(|(name, _)| name == field) {
            return Ok(source.clone());
        }
        Err(SelectorError::new(match self.unsupported {
            Unsupported::NamesTheOffender => format!("field label not supported: {field}"),
            Unsupported::NamesTheCommonOnes => format!(
                "{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
                quote(field)
            ),
        }))
    }
}

fn split_path(field: &str) -> Vec<String> {
    field.split('.').map(str::to_owned).collect()
}

/// Splits at commas that no backslash protects.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn split_operator(term: &str) -> Option<(&str, bool, &str)> {
    for (at, _) in term.char_indices() {
        let rest = &term[at..];
        for (operator, equal) in [("!=", false), ("==", true), ("=", true)] {
            if let Some(value) = rest.strip_prefix(operator) {
                return Some((&term[..at], equal, value));
            }
        }
    }
    None
}

fn unescape(text: &str) -> Result<String, SelectorError> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(next @ ('\\' | ',' | '=')) => out.push(next),
                next => {
                    let sequence: String = std::iter::once('\\').chain(next).collect();
                    return Err(SelectorError::new(format!(
                        "invalid field selector: invalid escape sequence: {sequence}"
                    )));
                }
            },
            ',' | '=' => {
                return Err(SelectorError::new(format!(
                    "invalid field selector: unescaped character in value: {}",
                    u32::from(c)
                )));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Admits every field a recorded selector names.
    fn any_field(text: &str) -> SelectableFields {
        let names: Vec<&str> = text.split(['=', ',', '!', ' ']).collect();
        let mut fields = SelectableFields::custom(names);
        fields
            .fields
            .push(("x".to_owned(), Source::Path(vec!["x".to_owned()])));
        fields
    }

    #[test]
    fn recorded_field_selectors_parse_the_same() {
        let text = include_bytes!("../../testdata/selectors.json");
        let recorded: Value = serde_json::from_slice(text).unwrap();
        for row in recorded["fields"].as_array().unwrap() {
            let text = row["text"].as_str().unwrap();
            match (
                FieldSelector::parse(text, &any_field(text)),
                row["error"].as_str(),
            ) {
                (Err(error), Some(expected)) => assert_eq!(error.to_string(), expected),
                (Ok(selector), None) => {
                    let terms: Vec<String> = selector
                        .terms
                        .iter()
                        .map(|term| {
                            let operator = if term.equal { "=" } else { "!=" };
                            format!("{} {operator} {}", term.field, term.value)
                        })
                        .collect();
                    assert_eq!(json!(terms), row["terms"], "{text}");
                }
                (parsed, _) => panic!("{row}: {parsed:?}"),
            }
        }
    }

    #[test]
    fn kinds_are_selected_by_their_fields() {
        let pod = json!({
            "metadata": {"name": "p", "namespace": "n"},
            "spec": {"nodeName": "node", "hostNetwork": true},
            "status": {"phase": "Running"},
        });
        let event = json!({
            "metadata": {"name": "e"}, "reason": "Started", "type": "Normal",
            "involvedObject": {"kind": "Pod", "name": "p", "uid": "u"},
            "source": {"component": "kubelet"},
        });
        let table = [
            (
                "",
                "Pod",
                &pod,
                "status.phase=Running,spec.nodeName=node",
                true,
            ),
            ("", "Pod", &pod, "status.phase!=Running", false),
            (
                "",
                "Pod",
                &pod,
                "metadata.name=p,metadata.namespace=n",
                true,
            ),
            ("", "Pod", &pod, "spec.hostNetwork=true,status.podIP=", true),
            (
                "",
                "Event",
                &event,
                "involvedObject.name=p,involvedObject.uid=u,reason=Started",
                true,
            ),
            ("events.k8s.io", "Event", &event, "regarding.name=p", true),
            ("", "Event", &event, "source=kubelet,type!=Warning", true),
        ];
        for (group, kind, object, text, expected) in table {
            let fields = SelectableFields::builtin(group, kind);
            let selector = FieldSelector::parse(text, &fields).unwrap();
            assert_eq!(selector.matches(object), expected, "{text}");
        }
        let selector = FieldSelector::parse(
            "metadata.name=p,metadata.namespace!=x",
            &SelectableFields::builtin("", "Pod"),
        );
        let selector = selector.unwrap();
        assert_eq!(selector.required_value("metadata.name"), Some("p"));
        assert_eq!(selector.required_value("metadata.namespace"), None);
    }

    #[test]
    fn unsupported_fields_are_refused() {
        for (fields, message) in [
            (
                SelectableFields::builtin("", "Pod"),
                "field label not supported: spec.foo",
            ),
            (
                SelectableFields::builtin("", "ConfigMap"),
                "\"spec.foo\" is not a known field selector: only \"metadata.name\", \
                 \"metadata.namespace\"",
            ),
            (
                SelectableFields::custom([".spec.color"]),
                "field label not supported: spec.foo",
            ),
        ] {
            let error = FieldSelector::parse("spec.foo=x", &fields).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
        let fields = SelectableFields::custom([".spec.color"]);
        let selector = FieldSelector::parse("spec.color=red", &fields).unwrap();
        assert!(selector.matches(&json!({"spec": {"color": "red"}})));
    }
}
