//! Tables: the columns and cells that `kubectl get` shows.

use jiff::Timestamp;
use serde_json::{Value, json};

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
}

impl Printer {
    /// The printer of a built-in kind; kinds without one show name and age.
    pub fn builtin(group: &str, kind: &str) -> Self {
        let _ = (group, kind);
        Self {
            columns: Vec::new(),
        }
    }

    /// The printer of a custom kind, from `additionalPrinterColumns` of its CRD version.
    pub fn custom(additional_printer_columns: Option<&Value>) -> Self {
        let _ = additional_printer_columns;
        Self {
            columns: Vec::new(),
        }
    }

    /// The columns, in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The cells of one object, one per column.
    pub fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let _ = (object, now);
        Vec::new()
    }
}

/// A duration as Kubernetes prints ages: `5s`, `2m30s`, `3h`, `2d5h`, `1y20d`.
pub fn human_duration(seconds: i64) -> String {
    format!("{seconds}s")
}
