//! Whether a request concerns a webhook: by its rules. Pure.

use serde_json::Value;

/// One rule of a webhook.
#[derive(Debug, Default)]
pub(super) struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    /// Resource and subresource.
    resources: Vec<(String, String)>,
    scope: Scope,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Scope {
    #[default]
    All,
    Namespaced,
    Cluster,
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) operation: &'a str,
    pub(super) group: &'a str,
    pub(super) version: &'a str,
    pub(super) resource: &'a str,
    pub(super) subresource: &'a str,
    pub(super) namespaced: bool,
}

impl Rule {
    pub(super) fn read(rule: &Value) -> Self {
        let list = |field: &str| -> Vec<String> {
            rule[field]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        };
        Self {
            operations: list("operations"),
            groups: list("apiGroups"),
            versions: list("apiVersions"),
            resources: list("resources")
                .into_iter()
                .map(|text| match text.split_once('/') {
                    Some((resource, subresource)) => (resource.to_owned(), subresource.to_owned()),
                    None => (text, String::new()),
                })
                .collect(),
            scope: match rule["scope"].as_str() {
                Some("Namespaced") => Scope::Namespaced,
                Some("Cluster") => Scope::Cluster,
                _ => Scope::All,
            },
        }
    }

    pub(super) fn matches(&self, subject: &Subject<'_>) -> bool {
        let among =
            |list: &[String], wanted: &str| list.iter().any(|item| item == "*" || item == wanted);
        let in_scope = match self.scope {
            Scope::All => true,
            Scope::Namespaced => subject.namespaced,
            Scope::Cluster => !subject.namespaced,
        };
        in_scope
            && among(&self.operations, subject.operation)
            && among(&self.groups, subject.group)
            && among(&self.versions, subject.version)
            && self.resources.iter().any(|(resource, subresource)| {
                (resource == "*" || resource == subject.resource)
                    && (subresource == "*" || subresource == subject.subresource)
            })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_match_what_they_name() {
        let subject = |group, resource, subresource, namespaced| Subject {
            operation: "CREATE",
            group,
            version: "v1",
            resource,
            subresource,
            namespaced,
        };
        let rule = |groups: &[&str], resources: &[&str], scope: &str| {
            Rule::read(&json!({
                "operations": ["CREATE"],
                "apiGroups": groups,
                "apiVersions": ["v1"],
                "resources": resources,
                "scope": scope,
            }))
        };
        let pod = subject("", "pods", "", true);
        let pod_status = subject("", "pods", "status", true);
        let namespace = subject("", "namespaces", "", false);
        let cases = [
            (rule(&[""], &["pods"], "*"), pod, true),
            (rule(&[""], &["pods"], "*"), pod_status, false),
            (rule(&[""], &["pods/*"], "*"), pod_status, true),
            (rule(&[""], &["pods/*"], "*"), pod, true),
            (rule(&[""], &["*"], "*"), pod, true),
            (rule(&[""], &["*"], "*"), pod_status, false),
            (rule(&["*"], &["*/*"], "*"), pod_status, true),
            (rule(&["*"], &["*/status"], "*"), pod_status, true),
            (rule(&["apps"], &["pods"], "*"), pod, false),
            (rule(&[""], &["*"], "Cluster"), pod, false),
            (rule(&[""], &["*"], "Cluster"), namespace, true),
            (rule(&[""], &["*"], "Namespaced"), namespace, false),
            (rule(&[""], &["*"], "Namespaced"), pod, true),
        ];
        for (rule, subject, expected) in cases {
            assert_eq!(rule.matches(&subject), expected, "{rule:?} {subject:?}");
        }
        let other = Subject {
            operation: "DELETE",
            ..pod
        };
        assert!(!rule(&["*"], &["*/*"], "*").matches(&other));
        let other = Subject {
            version: "v2",
            ..pod
        };
        assert!(!rule(&["*"], &["*/*"], "*").matches(&other));
    }
}
