//! Tables: the columns and cells that `kubectl get` shows.
//!
//! A [`Printer`] makes one row of cells per object, all columns included; clients hide those of
//! priority 1 unless asked for wide output.

mod cells;
mod core;
mod duration;
mod json_path;
mod kinds;
mod pods;
mod workloads;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde_json::{Value, json};

pub use duration::human_duration;

use json_path::JsonPath;

const NAME: &str = "Name must be unique within a namespace.";
const AGE: &str = "The time since the object was created.";

/// One column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The heading.
    pub name: String,
    /// The OpenAPI type of the cells.
    pub r#type: String,
    /// The OpenAPI format of the cells (`name` marks the primary column).
    pub format: String,
    /// What the column shows.
    pub description: String,
    /// 0 is always shown, 1 only in wide output.
    pub priority: i64,
}

impl Column {
    fn new(name: &str, r#type: &str, format: &str, description: &str, priority: i64) -> Self {
        Self {
            name: name.to_owned(),
            r#type: r#type.to_owned(),
            format: format.to_owned(),
            description: description.to_owned(),
            priority,
        }
    }

    /// This column as an element of `columnDefinitions`.
    pub fn definition(&self) -> Value {
        json!({
            "name": self.name,
            "type": self.r#type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        })
    }
}

/// Turns objects of one kind into rows.
#[derive(Debug, Clone)]
pub struct Printer {
    columns: Vec<Column>,
    rows: Rows,
    conditions: fn(&Value) -> Option<Value>,
}

#[derive(Debug, Clone)]
enum Rows {
    Builtin(fn(&Value, Timestamp) -> Vec<Value>),
    /// A path per column after the name.
    Custom(Vec<JsonPath>),
}

impl Printer {
    /// The printer of a built-in kind; kinds without one show name and time of creation.
    pub fn builtin(group: &str, kind: &str) -> Self {
        let (columns, rows) = kinds::find(group, kind);
        let columns = columns
            .iter()
            .map(|(name, kind, priority)| {
                let (format, description) = match *name {
                    "Name" => ("name", NAME),
                    "Age" | "Created At" => ("", AGE),
                    other => ("", other),
                };
                Column::new(name, kind, format, description, *priority)
            })
            .collect();
        Self {
            columns,
            rows: Rows::Builtin(rows),
            conditions: match (group, kind) {
                ("", "Pod") => pods::conditions,
                _ => |_| None,
            },
        }
    }

    /// The printer of a custom kind, from `additionalPrinterColumns` of its CRD version. Without
    /// any it shows name and age.
    pub fn custom(additional_printer_columns: Option<&Value>) -> Self {
        let mut columns = vec![Column::new("Name", "string", "name", NAME, 0)];
        let mut paths = Vec::new();
        let declared = additional_printer_columns.and_then(Value::as_array);
        match declared.filter(|columns| !columns.is_empty()) {
            None => {
                columns.push(Column::new("Age", "date", "", AGE, 0));
                paths.push(JsonPath::parse(".metadata.creationTimestamp"));
            }
            Some(declared) => {
                for column in declared {
                    let text = |key| column.get(key).and_then(Value::as_str).unwrap_or_default();
                    let priority = column.get("priority").and_then(Value::as_i64);
                    columns.push(Column::new(
                        text("name"),
                        text("type"),
                        text("format"),
                        text("description"),
                        priority.unwrap_or_default(),
                    ));
                    paths.push(JsonPath::parse(text("jsonPath")));
                }
            }
        }
        Self {
            columns,
            rows: Rows::Custom(paths),
            conditions: |_| None,
        }
    }

    /// The columns, in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The conditions of one object's row; of the built-in kinds only pods have one, once they have
    /// ended (`meta.k8s.io/v1` TableRow).
    pub fn conditions(&self, object: &Value) -> Option<Value> {
        (self.conditions)(object)
    }

    /// The cells of one object, one per column.
    pub fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        match &self.rows {
            Rows::Builtin(row) => row(object, now),
            Rows::Custom(paths) => {
                let name = cells::text(object, "/metadata/name").into();
                let rest = self
                    .columns
                    .iter()
                    .skip(1)
                    .zip(paths)
                    .map(|(column, path)| {
                        path.first(object)
                            .map_or(Value::Null, |value| custom_cell(&column.r#type, value, now))
                    });
                std::iter::once(name).chain(rest).collect()
            }
        }
    }
}

/// A value as a cell of a declared type; null where it does not fit.
fn custom_cell(r#type: &str, value: &Value, now: Timestamp) -> Value {
    match (r#type, value) {
        (_, Value::Null) => Value::Null,
        ("string", Value::String(text)) => text.as_str().into(),
        ("string", other) => other.to_string().into(),
        ("integer", Value::Number(number)) => number
            .as_i64()
            .or_else(|| number.as_f64().map(|float| float as i64))
            .into(),
        ("number", Value::Number(number)) => number.as_f64().into(),
        ("boolean", Value::Bool(flag)) => (*flag).into(),
        ("date", Value::String(text)) => match text.parse::<Timestamp>() {
            Ok(time) => duration::since(time, now).into(),
            Err(_) => "<invalid>".into(),
        },
        _ => Value::Null,
    }
}
