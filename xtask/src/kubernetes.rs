//! Trims the API description of Kubernetes to what the embedded API server needs.
//!
//! In: the `api/openapi-spec/v3` folder of the kubernetes module, and the folders of the
//! `k8s.io/api` and `k8s.io/apimachinery` modules. Out, all zstd-compressed: one OpenAPI document
//! per served group version, the types of all kinds without prose, and the protobuf field table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

/// The group versions the embedded API server can serve.
const SERVED: [(&str, &str); 20] = [
    ("", "v1"),
    ("admissionregistration.k8s.io", "v1"),
    ("apiextensions.k8s.io", "v1"),
    ("apiregistration.k8s.io", "v1"),
    ("apps", "v1"),
    ("authentication.k8s.io", "v1"),
    ("authorization.k8s.io", "v1"),
    ("autoscaling", "v1"),
    ("autoscaling", "v2"),
    ("batch", "v1"),
    ("certificates.k8s.io", "v1"),
    ("coordination.k8s.io", "v1"),
    ("discovery.k8s.io", "v1"),
    ("events.k8s.io", "v1"),
    ("networking.k8s.io", "v1"),
    ("node.k8s.io", "v1"),
    ("policy", "v1"),
    ("rbac.authorization.k8s.io", "v1"),
    ("scheduling.k8s.io", "v1"),
    ("storage.k8s.io", "v1"),
];

/// Folders below the two Go modules whose messages clients send.
const MESSAGES: [(Module, &str); 19] = [
    (Module::Api, "admissionregistration/v1"),
    (Module::Api, "apps/v1"),
    (Module::Api, "authentication/v1"),
    (Module::Api, "authorization/v1"),
    (Module::Api, "autoscaling/v1"),
    (Module::Api, "autoscaling/v2"),
    (Module::Api, "batch/v1"),
    (Module::Api, "certificates/v1"),
    (Module::Api, "coordination/v1"),
    (Module::Api, "core/v1"),
    (Module::Api, "discovery/v1"),
    (Module::Api, "events/v1"),
    (Module::Api, "networking/v1"),
    (Module::Api, "node/v1"),
    (Module::Api, "policy/v1"),
    (Module::Api, "rbac/v1"),
    (Module::Api, "scheduling/v1"),
    (Module::Api, "storage/v1"),
    (Module::Machinery, "pkg/apis/meta/v1"),
];

/// Messages that are one value in JSON.
const SCALAR_MESSAGES: [&str; 4] = [".Quantity", ".IntOrString", ".Time", ".MicroTime"];

#[derive(Clone, Copy)]
enum Module {
    Api,
    Machinery,
}

/// Where upstream's description lies, and where the trimmed one goes.
pub(crate) struct Folders {
    /// `kubernetes/api/openapi-spec/v3`.
    pub(crate) openapi: PathBuf,
    /// The `k8s.io/api` module.
    pub(crate) api: PathBuf,
    /// The `k8s.io/apimachinery` module.
    pub(crate) machinery: PathBuf,
    /// `crates/apimachinery/data`.
    pub(crate) output: PathBuf,
}

/// Writes all files.
pub(crate) fn generate(folders: &Folders) -> Result<()> {
    let tags = go_tags(folders)?;
    let mut definitions = Map::new();
    for (group, version) in SERVED {
        let path = if group.is_empty() {
            format!("api/{version}")
        } else {
            format!("apis/{group}/{version}")
        };
        let source = folders
            .openapi
            .join(format!("{}_openapi.json", path.replace('/', "__")));
        let document: Value = serde_json::from_slice(&read(&source)?)
            .with_context(|| format!("{} is not JSON", source.display()))?;
        let schemas = document["components"]["schemas"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        for (name, schema) in &schemas {
            definitions
                .entry(name.clone())
                .or_insert_with(|| without_prose(schema, tags.get(&go_name(name))));
        }
        let file = format!("openapi/{}.json.zst", path.replace('/', "__"));
        write(
            &folders.output.join(file),
            &serde_json::to_vec(&trimmed(&document, &schemas))?,
        )?;
    }
    write(
        &folders.output.join("types.json.zst"),
        &serde_json::to_vec(&definitions)?,
    )?;
    let table = message_table(folders, &tags)?;
    write(&folders.output.join("protobuf.txt.zst"), table.as_bytes())
}

/// A document with its schemas and, of its paths, what clients look at.
fn trimmed(document: &Value, schemas: &Map<String, Value>) -> Value {
    let mut paths = Map::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        let mut kept = Map::new();
        for (verb, operation) in item.as_object().into_iter().flatten() {
            if operation.get("x-kubernetes-group-version-kind").is_none() {
                continue;
            }
            kept.insert(
                verb.clone(),
                json!({
                    "operationId": operation["operationId"],
                    "parameters": parameters(&operation["parameters"]),
                    "responses": {"200": {"description": "OK"}},
                    "x-kubernetes-action": operation["x-kubernetes-action"],
                    "x-kubernetes-group-version-kind":
                        operation["x-kubernetes-group-version-kind"],
                }),
            );
        }
        if !kept.is_empty() {
            if let Some(shared) = item.get("parameters") {
                kept.insert("parameters".to_owned(), parameters(shared));
            }
            paths.insert(path.clone(), Value::Object(kept));
        }
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.32.9"},
        "paths": paths,
        "components": {"schemas": schemas},
    })
}

fn parameters(parameters: &Value) -> Value {
    parameters
        .as_array()
        .into_iter()
        .flatten()
        .map(|parameter| {
            let mut kept = parameter.clone();
            if let Some(kept) = kept.as_object_mut() {
                kept.remove("description");
            }
            kept
        })
        .collect()
}

/// A schema without descriptions and empty defaults, and with what Go's tags add to it.
fn without_prose(schema: &Value, tags: Option<&BTreeMap<u32, Tag>>) -> Value {
    let mut schema = strip(schema);
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        return schema;
    };
    for tag in tags.into_iter().flat_map(BTreeMap::values) {
        let Some(Value::Object(property)) = properties.get_mut(&tag.json) else {
            continue;
        };
        // A struct that is no pointer is always there, whatever omitempty says.
        let message = property.contains_key("allOf") || property.contains_key("$ref");
        let scalar = SCALAR_MESSAGES.iter().any(|name| {
            let target = property
                .get("$ref")
                .or_else(|| property.get("allOf")?[0].get("$ref"));
            target
                .and_then(Value::as_str)
                .is_some_and(|target| target.ends_with(name))
        });
        if tag.drops_zero || (!tag.pointer && message && !scalar) {
            property.insert("x-omit-zero".to_owned(), Value::Bool(true));
        }
    }
    schema
}

fn strip(value: &Value) -> Value {
    match value {
        Value::Object(entries) => entries
            .iter()
            .filter(|(key, value)| match key.as_str() {
                // A property may be called "description" too; then it is a schema.
                "description" => !value.is_string(),
                "default" => !value.as_object().is_some_and(Map::is_empty),
                _ => true,
            })
            .map(|(key, value)| (key.clone(), strip(value)))
            .collect(),
        Value::Array(items) => items.iter().map(strip).collect(),
        other => other.clone(),
    }
}

/// What the tags of a Go field say.
struct Tag {
    json: String,
    inline: bool,
    /// The zero value is left out of JSON, and the field is no pointer.
    drops_zero: bool,
    pointer: bool,
}

/// A Go struct: its import path and name.
type GoName = (String, String);

/// `io.k8s.api.core.v1.Pod` is `Pod` of `k8s.io/api/core/v1`.
fn go_name(definition: &str) -> GoName {
    let (package, name) = definition.rsplit_once('.').unwrap_or(("", definition));
    (package.replacen("io.k8s.", "k8s.io.", 1), name.to_owned())
}

/// The tags of all message structs, by protobuf field number.
fn go_tags(folders: &Folders) -> Result<BTreeMap<GoName, BTreeMap<u32, Tag>>> {
    let mut found: BTreeMap<GoName, BTreeMap<u32, Tag>> = BTreeMap::new();
    for (module, folder) in MESSAGES {
        let package = package(module, folder);
        for entry in std::fs::read_dir(root(folders, module).join(folder))? {
            let path = entry?.path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if !name.ends_with(".go") || name.ends_with("_test.go") || name.starts_with("zz_") {
                continue;
            }
            let source = String::from_utf8(read(&path)?)?;
            let mut current = None;
            for line in source.lines() {
                if let Some(rest) = line.strip_prefix("type ") {
                    current = rest.strip_suffix(" struct {").map(str::to_owned);
                } else if let Some(current) = &current
                    && let Some((number, tag)) = go_tag(line)
                {
                    let key = (package.clone(), current.clone());
                    found.entry(key).or_default().insert(number, tag);
                }
            }
        }
    }
    Ok(found)
}

fn go_tag(line: &str) -> Option<(u32, Tag)> {
    let (code, rest) = line.split_once('`')?;
    let json = tag_value(rest, "json")?;
    let protobuf = tag_value(rest, "protobuf")?;
    let number = protobuf.split(',').nth(1)?.parse().ok()?;
    let mut words = json.split(',');
    let name = words.next().unwrap_or_default().to_owned();
    let options: Vec<&str> = words.collect();
    let go_type = code.split_whitespace().nth(1).unwrap_or_default();
    let tag = Tag {
        inline: options.contains(&"inline"),
        pointer: go_type.starts_with('*'),
        drops_zero: options.contains(&"omitempty") && !go_type.starts_with('*'),
        json: name,
    };
    Some((number, tag))
}

fn tag_value<'a>(tags: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = tags.split_once(&format!("{key}:\""))?;
    rest.split('"').next()
}

/// One line per message (`> NAME`) and per field (`NUMBER JSONNAME FLAGS TYPE`). Flags: `r`
/// repeated, `m` map from string, `i` inlined, `z` zero is left out, `-` none.
fn message_table(folders: &Folders, tags: &BTreeMap<GoName, BTreeMap<u32, Tag>>) -> Result<String> {
    let mut table = String::new();
    let mut folders_seen = BTreeSet::new();
    for (module, folder) in MESSAGES {
        if !folders_seen.insert(folder) {
            continue;
        }
        let package = package(module, folder);
        let file = root(folders, module).join(folder).join("generated.proto");
        let source = String::from_utf8(read(&file)?)?;
        let mut message: Option<String> = None;
        for line in source.lines() {
            let line = line.trim();
            if let Some(name) = line
                .strip_prefix("message ")
                .and_then(|rest| rest.strip_suffix(" {"))
            {
                writeln!(table, "> {package}.{name}")?;
                message = Some(name.to_owned());
            } else if line == "}" {
                message = None;
            } else if let Some(message) = &message
                && let Some(field) = proto_field(line)
            {
                let tag = tags
                    .get(&(package.clone(), message.clone()))
                    .and_then(|tags| tags.get(&field.number));
                let name = tag.map_or(field.name.as_str(), |tag| tag.json.as_str());
                let mut flags = field.flags.to_owned();
                if tag.is_some_and(|tag| tag.inline) {
                    flags.push('i');
                }
                if tag.is_some_and(|tag| tag.drops_zero) {
                    flags.push('z');
                }
                if flags.is_empty() {
                    flags.push('-');
                }
                let name = if name.is_empty() {
                    field.name.as_str()
                } else {
                    name
                };
                writeln!(
                    table,
                    "{} {name} {flags} {}",
                    field.number,
                    qualified(&package, &field.kind)
                )?;
            }
        }
    }
    Ok(table)
}

struct ProtoField {
    number: u32,
    name: String,
    flags: &'static str,
    kind: String,
}

fn proto_field(line: &str) -> Option<ProtoField> {
    let line = line.strip_suffix(';')?;
    let (left, number) = line.split_once(" = ")?;
    let number = number.parse().ok()?;
    if let Some(rest) = left.strip_prefix("map<string, ") {
        let (kind, name) = rest.split_once("> ")?;
        return Some(ProtoField {
            number,
            name: name.into(),
            flags: "m",
            kind: kind.into(),
        });
    }
    let mut words = left.split_whitespace();
    let flags = match words.next()? {
        "repeated" => "r",
        "optional" | "required" => "",
        _ => return None,
    };
    Some(ProtoField {
        number,
        kind: words.next()?.into(),
        name: words.next()?.into(),
        flags,
    })
}

fn qualified(package: &str, kind: &str) -> String {
    match kind {
        "string" | "bytes" | "bool" | "int32" | "int64" | "uint32" | "uint64" | "double" => {
            kind.to_owned()
        }
        other => match other.strip_prefix('.') {
            Some(absolute) => absolute.to_owned(),
            None => format!("{package}.{other}"),
        },
    }
}

fn root(folders: &Folders, module: Module) -> &Path {
    match module {
        Module::Api => &folders.api,
        Module::Machinery => &folders.machinery,
    }
}

fn package(module: Module, folder: &str) -> String {
    let module = match module {
        Module::Api => "k8s.io.api",
        Module::Machinery => "k8s.io.apimachinery",
    };
    format!("{module}.{}", folder.replace('/', "."))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let packed = zstd::encode_all(content, 19)?;
    std::fs::write(path, packed).with_context(|| format!("cannot write {}", path.display()))
}
