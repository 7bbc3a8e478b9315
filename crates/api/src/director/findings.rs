//! What validation has found so far, and the checks that several kinds have in common.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::amount::{Amounts, DisruptionBudget};
use crate::field::{FieldError, FieldPath};
use crate::names::{self, DnsSubdomain, LABEL_MAX, LabelValue};
use crate::quantity::Quantity;

/// What validation has found so far.
#[derive(Default)]
pub(crate) struct Findings(Vec<FieldError>);

impl Findings {
    pub(crate) fn into_errors(self) -> Vec<FieldError> {
        self.0
    }

    pub(crate) fn push(&mut self, error: FieldError) {
        self.0.push(error);
    }

    pub(crate) fn extend(&mut self, errors: impl IntoIterator<Item = FieldError>) {
        self.0.extend(errors);
    }

    pub(crate) fn invalid(
        &mut self,
        path: FieldPath,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) {
        self.push(FieldError::invalid(path, value, detail));
    }

    pub(crate) fn missing(&mut self, path: FieldPath, detail: impl Into<String>) {
        self.push(FieldError::missing(path, detail));
    }

    pub(crate) fn forbidden(&mut self, path: FieldPath, detail: impl Into<String>) {
        self.push(FieldError::forbidden(path, detail));
    }

    /// The name of an object that is the value of a label, too.
    pub(crate) fn label_name(&mut self, name: Option<&str>) {
        let name = name.unwrap_or_default();
        let path = FieldPath::new("metadata").field("name");
        if let Err(error) = DnsSubdomain::new(name) {
            self.invalid(path, name, error.to_string());
        } else if name.len() > LABEL_MAX {
            let detail = format!(
                "has {} characters but at most {LABEL_MAX} are allowed; choose a shorter one",
                name.len()
            );
            self.invalid(path, name, detail);
        }
    }

    pub(crate) fn not_empty(&mut self, path: FieldPath, text: &str) {
        if text.is_empty() {
            self.missing(path, "must not be empty");
        }
    }

    pub(crate) fn matches(
        &mut self,
        path: FieldPath,
        text: &str,
        holds: bool,
        detail: impl Into<String>,
    ) {
        if !holds {
            self.invalid(path, text, detail);
        }
    }

    /// Names that may occur once, in the order in which they stand.
    pub(crate) fn unique<'a>(
        &mut self,
        what: &str,
        names: impl IntoIterator<Item = (FieldPath, &'a str)>,
    ) {
        let mut known = BTreeSet::new();
        for (path, name) in names {
            if !known.insert(name) {
                let detail = format!("is {what} twice; remove one of the two, or change it");
                self.invalid(path, name, detail);
            }
        }
    }

    /// An amount of something that there has to be some of.
    pub(crate) fn positive(&mut self, path: FieldPath, text: &str) {
        match text.parse::<Quantity>() {
            Err(error) => self.invalid(path, text, error.to_string()),
            Ok(size) if size <= Quantity::ZERO => {
                self.invalid(path, text, "must be more than nothing, for example 10Gi");
            }
            Ok(_) => {}
        }
    }

    pub(crate) fn amounts(&mut self, path: &FieldPath, amounts: &Amounts) {
        for (name, amount) in amounts {
            let path = path.key(name);
            match amount.quantity() {
                Err(error) => self.invalid(path, amount.as_str(), error.to_string()),
                Ok(amount) if amount.is_negative() => {
                    self.invalid(path, amount.to_string(), "must not be negative");
                }
                Ok(_) => {}
            }
        }
    }

    pub(crate) fn labels(&mut self, path: &FieldPath, labels: &BTreeMap<String, String>) {
        for (key, value) in labels {
            self.key(path, key);
            if let Err(error) = LabelValue::new(value.as_str()) {
                self.invalid(path.key(key), value.as_str(), error.to_string());
            }
        }
    }

    pub(crate) fn annotations(&mut self, path: &FieldPath, annotations: &BTreeMap<String, String>) {
        for key in annotations.keys() {
            self.key(path, key);
        }
    }

    fn key(&mut self, path: &FieldPath, key: &str) {
        if let Err(error) = names::check_label_key(key) {
            let detail = format!("is no key of a label or annotation: {error}");
            self.push(FieldError::invalid(path.key(key), key, detail));
        }
    }

    /// The name of an object of a kind whose names are subdomains.
    pub(crate) fn object_name(&mut self, path: FieldPath, name: &str) {
        if let Err(error) = DnsSubdomain::new(name) {
            self.invalid(path, name, error.to_string());
        }
    }

    pub(crate) fn absolute(&mut self, path: FieldPath, text: &str) {
        let detail = "must be an absolute path, which begins with /";
        self.matches(path, text, text.starts_with('/'), detail);
    }

    /// Of variables that are set twice the later one holds, as in a pod.
    pub(crate) fn environment<'a>(
        &mut self,
        path: &FieldPath,
        names: impl Iterator<Item = &'a str>,
    ) {
        for (index, name) in names.enumerate() {
            if let Err(error) = names::check_env_name(name) {
                let path = path.index(index).field("name");
                self.invalid(path, name, error.to_string());
            }
        }
    }

    pub(crate) fn budget(&mut self, path: &FieldPath, budget: Option<&DisruptionBudget>) {
        use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
        let Some(budget) = budget else {
            return;
        };
        if budget.max_unavailable.is_some() == budget.min_available.is_some() {
            let detail = "must have exactly one of maxUnavailable and minAvailable";
            self.missing(path.clone(), detail);
        }
        let limits = [
            ("maxUnavailable", &budget.max_unavailable),
            ("minAvailable", &budget.min_available),
        ];
        for (field, limit) in limits {
            let detail = "must be a number of members, or a percentage from 0% to 100%";
            match limit {
                Some(IntOrString::Int(count)) if *count < 0 => {
                    self.invalid(path.field(field), *count, detail);
                }
                Some(IntOrString::String(text)) if !is_percentage(text) => {
                    self.invalid(path.field(field), text.as_str(), detail);
                }
                _ => {}
            }
        }
    }
}

fn is_percentage(text: &str) -> bool {
    let digits = text.strip_suffix('%');
    let number = digits.and_then(|digits| digits.parse::<u8>().ok());
    number.is_some_and(|number| number <= 100) && !text.starts_with('+')
}

/// Whether one path is the other, or leads into it.
pub(crate) fn is_at_or_below(path: &str, above: &str) -> bool {
    let (path, above) = (path.trim_end_matches('/'), above.trim_end_matches('/'));
    let rest = path.strip_prefix(above);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
