//! Tables: what `kubectl get` shows.

use jiff::Timestamp;
use serde_json::{Value, json};
use windlass_apimachinery::printers::{Column, Printer};

use crate::{http::Call, metadata};

/// Turns the objects of one request into tables.
pub(crate) struct Tables {
    printer: Printer,
    include: Include,
}

/// What comes with a row besides its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Include {
    Nothing,
    Metadata,
    Object,
}

impl Tables {
    pub(crate) fn new(call: &Call) -> Self {
        let include = match call.query.get("includeObject") {
            Some("None") => Include::Nothing,
            Some("Object") => Include::Object,
            _ => Include::Metadata,
        };
        Self {
            printer: call.kind().printer(),
            include,
        }
    }

    /// The row of one object. A watch sends rows for hours, so each has the age it has when sent.
    pub(crate) fn row(&self, object: &Value) -> Value {
        let mut row = json!({"cells": self.printer.cells(object, Timestamp::now())});
        if let Some(conditions) = self.printer.conditions(object) {
            row["conditions"] = conditions;
        }
        match self.include {
            Include::Nothing => {}
            Include::Metadata => row["object"] = metadata::partial(object),
            Include::Object => row["object"] = object.clone(),
        }
        row
    }

    /// A table of rows.
    pub(crate) fn table(&self, rows: Vec<Value>, list_meta: Value) -> Value {
        let columns: Vec<Value> = self
            .printer
            .columns()
            .iter()
            .map(Column::definition)
            .collect();
        json!({
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": list_meta,
            "columnDefinitions": columns,
            "rows": rows,
        })
    }

    /// The cells of a row that stands for no object.
    pub(crate) fn empty_cells(&self) -> Vec<Value> {
        vec![Value::Null; self.printer.columns().len()]
    }

    /// The table of one object.
    pub(crate) fn of_one(&self, object: &Value) -> Value {
        let list_meta = json!({"resourceVersion": metadata::text(object, "resourceVersion")});
        self.table(vec![self.row(object)], list_meta)
    }
}
