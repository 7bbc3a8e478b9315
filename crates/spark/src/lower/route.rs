//! How a field gets to where it has its effect.

use std::collections::BTreeMap;

use super::{Conf, NotApplied, Role, editor::PodEditor};

/// One field of a role and its way.
pub(super) struct Row {
    /// The name in JSON.
    pub(super) field: &'static str,
    conf: Option<fn(&Role<'_>, &mut ConfBuilder)>,
    pod: Option<fn(&Role<'_>, &mut PodEditor)>,
    obstacle: Option<fn(&Role<'_>) -> Option<String>>,
}

impl Row {
    /// The field becomes Spark settings.
    pub(super) const fn conf(field: &'static str, set: fn(&Role<'_>, &mut ConfBuilder)) -> Self {
        Self {
            field,
            conf: Some(set),
            pod: None,
            obstacle: None,
        }
    }

    /// The field is applied to the pod: the finished driver, or the template of executors.
    pub(super) const fn pod(field: &'static str, edit: fn(&Role<'_>, &mut PodEditor)) -> Self {
        Self {
            field,
            conf: None,
            pod: Some(edit),
            obstacle: None,
        }
    }

    /// The field is what the pod starts from.
    pub(super) const fn start(field: &'static str) -> Self {
        Self {
            field,
            conf: None,
            pod: None,
            obstacle: None,
        }
    }

    /// The field is a part of what the row of `_other` does.
    pub(super) const fn within(field: &'static str, _other: &'static str) -> Self {
        Self::start(field)
    }

    /// The field cannot be honoured.
    pub(super) const fn obstructed(
        field: &'static str,
        why: fn(&Role<'_>) -> Option<String>,
    ) -> Self {
        Self {
            field,
            conf: None,
            pod: None,
            obstacle: Some(why),
        }
    }

    /// A part of the field is applied to the pod.
    pub(super) const fn and_pod(mut self, edit: fn(&Role<'_>, &mut PodEditor)) -> Self {
        self.pod = Some(edit);
        self
    }

    /// There are applications for which the field cannot be honoured.
    pub(super) const fn unless(mut self, why: fn(&Role<'_>) -> Option<String>) -> Self {
        self.obstacle = Some(why);
        self
    }

    fn is_open(&self, role: &Role<'_>) -> bool {
        self.obstacle.is_none_or(|why| why(role).is_none())
    }
}

/// What is said about fields of the role that have no effect.
pub(super) fn notes(role: &Role<'_>, rows: &[Row]) -> Vec<NotApplied> {
    let set = role.fields_that_are_set();
    let reason = |row: &Row| row.obstacle.and_then(|why| why(role));
    rows.iter()
        .filter(|row| set.contains(row.field))
        .filter_map(|row| {
            let field = format!("spec.{}.{}", role.kind.name(), row.field);
            Some(NotApplied {
                field,
                reason: reason(row)?,
            })
        })
        .collect()
}

/// Makes the settings of the role.
pub(super) fn settings(role: &Role<'_>, rows: &[Row], conf: &mut ConfBuilder) {
    for row in rows.iter().filter(|row| row.is_open(role)) {
        if let Some(set) = row.conf {
            set(role, conf);
        }
    }
}

/// Edits the pod of the role.
pub(super) fn edit(role: &Role<'_>, rows: &[Row], pod: &mut PodEditor) {
    for row in rows.iter().filter(|row| row.is_open(role)) {
        if let Some(edit) = row.pod {
            edit(role, pod);
        }
    }
}

/// Spark settings in the making.
#[derive(Debug, Default)]
pub(super) struct ConfBuilder(Conf);

impl ConfBuilder {
    pub(super) fn set(&mut self, key: impl Into<String>, value: impl ToString) {
        self.0.insert(key.into(), value.to_string());
    }

    pub(super) fn set_some<T: ToString>(&mut self, key: &str, value: Option<T>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    pub(super) fn set_default(&mut self, key: &str, value: impl ToString) {
        self.0
            .entry(key.to_owned())
            .or_insert_with(|| value.to_string());
    }

    /// A comma list; an empty one sets nothing.
    pub(super) fn set_list(&mut self, key: &str, values: &[String]) {
        if !values.is_empty() {
            self.set(key, values.join(","));
        }
    }

    /// One setting per entry, under a common prefix.
    pub(super) fn set_map(&mut self, prefix: &str, values: &BTreeMap<String, String>) {
        for (name, value) in values {
            self.set(format!("{prefix}{name}"), value);
        }
    }

    pub(super) fn append(&mut self, key: &str, value: &str) {
        let present = self.0.entry(key.to_owned()).or_default();
        if !present.is_empty() {
            present.push(' ');
        }
        present.push_str(value);
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    pub(super) fn into_conf(self) -> Conf {
        self.0
    }
}
