//! docs/compatibility.md tells of every field of the kinds and of every known defect of the
//! Kubeflow operator, and names tests that exist.
//!
//! A table whose first column is "field of `PREFIX`" tells of the fields below that prefix, of the
//! kind that its chapter is named after. A column "shown by" or "test" names tests; where it is
//! empty, the text between heading and table names one for all rows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::root;

/// Issues of the Kubeflow operator that are answered by this page: of its own list of scale and
/// correctness problems, and of what users ask for most. Batch schedulers and SparkConnect are not
/// among them.
const ISSUES: [u32; 68] = [
    182, 686, 787, 855, 970, 1025, 1051, 1132, 1138, 1168, 1176, 1191, 1290, 1443, 1572, 1574,
    1678, 1711, 1752, 1814, 1847, 1919, 1947, 1982, 1990, 2025, 2028, 2054, 2060, 2070, 2181, 2192,
    2277, 2283, 2288, 2337, 2374, 2388, 2448, 2459, 2482, 2502, 2509, 2602, 2617, 2708, 2755, 2766,
    2781, 2788, 2803, 2870, 2872, 2878, 2905, 2913, 2961, 2972, 2977, 2984, 3028, 3032, 3040, 3070,
    3119, 3165, 3174, 3184,
];

#[test]
fn every_field_of_the_kinds_is_told_once_and_no_other() {
    let tables = tables(&page());
    let applications = schema("SparkApplication");
    for (kind, schema) in [
        ("SparkApplication", applications.clone()),
        (
            "ScheduledSparkApplication",
            schema("ScheduledSparkApplication"),
        ),
        ("SparkConnect", schema("SparkConnect")),
        (
            "Applications of the first operator",
            schema_of(&windlass_api::original_crd()),
        ),
    ] {
        let mut told = BTreeSet::new();
        for table in tables.iter().filter(|table| table.chapter == kind) {
            let Some(prefixes) = table.header[0].strip_prefix("field of ") else {
                continue;
            };
            for row in &table.rows {
                for field in backticked(&row[0]) {
                    for prefix in backticked(prefixes) {
                        let path = format!("{prefix}.{field}");
                        assert!(told.insert(path.clone()), "{kind} tells of {path} twice");
                    }
                }
            }
        }
        let mut fields = BTreeSet::new();
        for part in ["spec", "status"] {
            leaves(&schema["properties"][part], part, &mut fields);
        }
        if kind == "ScheduledSparkApplication" {
            // The chapter before tells of what is in it.
            let template = &schema["properties"]["spec"]["properties"]["template"];
            let spec = &applications["properties"]["spec"];
            assert_eq!(template["properties"], spec["properties"]);
            fields.retain(|field| !field.starts_with("spec.template."));
            fields.insert("spec.template".to_owned());
        }
        let left_out: Vec<_> = fields.difference(&told).collect();
        let no_fields: Vec<_> = told.difference(&fields).collect();
        assert!(left_out.is_empty(), "{kind}, left out: {left_out:#?}");
        assert!(no_fields.is_empty(), "{kind}, no fields: {no_fields:#?}");
    }
}

#[test]
fn every_row_names_tests_that_exist() {
    let sources = sources();
    let functions: BTreeSet<String> = sources
        .iter()
        .flat_map(|path| functions(&fs::read_to_string(path).unwrap()))
        .collect();
    let exists = |name: &str| {
        let is_file = Path::new(name).extension().is_some_and(|it| it == "rs");
        if is_file {
            sources.iter().any(|path| path.ends_with(name))
        } else {
            functions.contains(name)
        }
    };
    let page = page();
    let mut rows = 0;
    for table in tables(&page) {
        if !matches!(
            table.header.last().map(String::as_str),
            Some("shown by" | "test")
        ) {
            continue;
        }
        let for_all = table.intro.iter().any(|name| functions.contains(name));
        for row in &table.rows {
            let named = backticked(&row[row.len() - 1]);
            assert!(!named.is_empty() || for_all, "no test: {row:?}");
            for name in named {
                assert!(exists(name), "there is no {name}: {row:?}");
            }
            rows += 1;
        }
    }
    assert!(rows > 100, "{rows} rows are not the whole page");
    for name in backticked(&page) {
        let is_test = name.matches('_').count() > 2 && !name.contains(|c: char| !is_word(c));
        assert!(!is_test || exists(name), "there is no {name}");
    }
}

#[test]
fn every_issue_of_the_kubeflow_operator_is_answered() {
    let page = page();
    let numbers: BTreeSet<&str> = page.split(|c: char| !c.is_ascii_digit()).collect();
    let unanswered: Vec<u32> = ISSUES
        .into_iter()
        .filter(|issue| !numbers.contains(issue.to_string().as_str()))
        .collect();
    assert!(unanswered.is_empty(), "{unanswered:?}");
}

fn page() -> String {
    fs::read_to_string(root().join("docs/compatibility.md")).unwrap()
}

/// A table of the page.
struct Table {
    /// The heading of its chapter.
    chapter: String,
    /// The names between the last heading and the table.
    intro: Vec<String>,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

fn tables(page: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    let mut chapter = String::new();
    let mut intro = String::new();
    let mut in_table = false;
    for line in page.lines() {
        let is_row = line.starts_with('|');
        if let Some(heading) = line.strip_prefix("## ") {
            heading.clone_into(&mut chapter);
        }
        if line.starts_with('#') {
            intro.clear();
        } else if !is_row {
            intro.push_str(line);
            intro.push('\n');
        }
        match tables.last_mut() {
            Some(table) if is_row && in_table => table.rows.push(cells(line)),
            _ if is_row => tables.push(Table {
                chapter: chapter.clone(),
                intro: backticked(&intro).into_iter().map(str::to_owned).collect(),
                header: cells(line),
                rows: Vec::new(),
            }),
            _ => {}
        }
        in_table = is_row;
    }
    for table in &mut tables {
        table.rows.remove(0); // The line below the header.
        for row in &table.rows {
            assert_eq!(row.len(), table.header.len(), "{row:?}");
        }
    }
    tables
}

fn cells(row: &str) -> Vec<String> {
    let row = row.trim().trim_start_matches('|').trim_end_matches('|');
    row.split('|').map(|cell| cell.trim().to_owned()).collect()
}

fn backticked(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn is_word(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'
}

/// The schema of a kind.
fn schema(kind: &str) -> Value {
    let crds = windlass_api::crds();
    let mut crds = crds.iter();
    let crd = crds.find(|crd| crd["spec"]["names"]["kind"] == kind);
    schema_of(crd.unwrap())
}

fn schema_of(crd: &Value) -> Value {
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// The paths of all fields that have none below them; those of lists and maps are those of their
/// elements.
fn leaves(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    let mut schema = schema;
    loop {
        schema = match (&schema["items"], &schema["additionalProperties"]) {
            (items @ Value::Object(_), _) => items,
            (_, values @ Value::Object(_)) => values,
            _ => break,
        };
    }
    match schema["properties"].as_object() {
        Some(fields) => {
            for (name, field) in fields {
                leaves(field, &format!("{path}.{name}"), found);
            }
        }
        None => {
            found.insert(path.to_owned());
        }
    }
}

/// Every Rust file of the crates.
fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root().join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// The names of the functions in a source.
fn functions(source: &str) -> Vec<String> {
    let after = source.split("fn ").skip(1);
    after
        .map(|rest| rest.chars().take_while(|c| is_word(*c)).collect())
        .collect()
}
