//! OpenAPI documents of custom groups, built from their CRDs.

use serde_json::{Map, Value, json};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// One custom kind of a group version.
#[derive(Debug, Clone)]
pub struct CustomKind<'a> {
    /// The kind.
    pub kind: &'a str,
    /// The plural resource name.
    pub plural: &'a str,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Whether there is a status subresource.
    pub status: bool,
    /// Whether there is a scale subresource.
    pub scale: bool,
    /// The `openAPIV3Schema` of this version.
    pub schema: &'a Value,
}

/// The document of a custom group version.
pub fn custom_document(group: &str, version: &str, kinds: &[CustomKind<'_>]) -> Value {
    let mut schemas = meta_definitions();
    let mut paths = Map::new();
    for kind in kinds {
        let name = definition_name(group, version, kind.kind);
        let gvk = json!({"group": group, "version": version, "kind": kind.kind});
        let mut schema = kind.schema.clone();
        type_resource(&mut schema);
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("x-kubernetes-group-version-kind".to_owned(), json!([gvk]));
        }
        schemas.insert(name.clone(), schema);
        schemas.insert(
            format!("{name}List"),
            list_definition(group, version, kind.kind, &name),
        );
        add_paths(&mut paths, group, version, kind, &gvk);
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes CRD Swagger", "version": "v0.1.0"},
        "paths": paths,
        "components": {"schemas": schemas},
    })
}

/// `example.com/v1 Widget` is `com.example.v1.Widget`.
fn definition_name(group: &str, version: &str, kind: &str) -> String {
    let reversed: Vec<&str> = group.rsplit('.').collect();
    format!("{}.{version}.{kind}", reversed.join("."))
}

fn type_resource(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    let Some(properties) = properties.as_object_mut() else {
        return;
    };
    for (field, meaning) in [
        (
            "apiVersion",
            "The versioned schema of this representation of an object.",
        ),
        ("kind", "The resource this object represents."),
    ] {
        properties.insert(
            field.to_owned(),
            json!({"type": "string", "description": meaning}),
        );
    }
    properties.insert(
        "metadata".to_owned(),
        json!({
            "allOf": [{"$ref": format!("#/components/schemas/{META}.ObjectMeta")}],
            "description": "Standard object's metadata.",
        }),
    );
}

fn list_definition(group: &str, version: &str, kind: &str, item: &str) -> Value {
    json!({
        "description": format!("{kind}List is a list of {kind}"),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"$ref": format!("#/components/schemas/{META}.ListMeta")},
            "items": {
                "type": "array",
                "items": {"$ref": format!("#/components/schemas/{item}")},
            },
        },
        "x-kubernetes-group-version-kind":
            [{"group": group, "version": version, "kind": format!("{kind}List")}],
    })
}

/// The metadata types, taken from the smallest embedded document that has them.
fn meta_definitions() -> Map<String, Value> {
    let document = super::builtin_document("apis/scheduling.k8s.io/v1")
        .and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    let Some(Value::Object(schemas)) = document
        .and_then(|mut document| document.pointer_mut("/components/schemas").map(Value::take))
    else {
        return Map::new();
    };
    schemas
        .into_iter()
        .filter(|(name, _)| name.starts_with(META))
        .collect()
}

fn add_paths(
    paths: &mut Map<String, Value>,
    group: &str,
    version: &str,
    kind: &CustomKind<'_>,
    gvk: &Value,
) {
    let scope = if kind.namespaced {
        "namespaces/{namespace}/"
    } else {
        ""
    };
    let collection = format!("/apis/{group}/{version}/{scope}{}", kind.plural);
    let item = format!("{collection}/{{name}}");
    let tail = format!(
        "{}{}{}",
        capitalized(version),
        if kind.namespaced { "Namespaced" } else { "" },
        kind.kind
    );
    let operation = |verb: &str, action: &str| {
        let writes = matches!(action, "post" | "put" | "patch");
        json!({
            "operationId": format!("{verb}{}{tail}", capitalized(&group.replace('.', ""))),
            "parameters": if writes { write_parameters(action) } else { json!([]) },
            "responses": {"200": {"description": "OK"}},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": gvk,
        })
    };
    let mut parameters = Vec::new();
    if kind.namespaced {
        parameters.push(path_parameter("namespace"));
    }
    paths.insert(
        collection,
        json!({
            "parameters": parameters,
            "get": operation("list", "list"),
            "post": operation("create", "post"),
            "delete": operation("deleteCollection", "deletecollection"),
        }),
    );
    parameters.push(path_parameter("name"));
    paths.insert(
        item.clone(),
        json!({
            "parameters": parameters,
            "get": operation("read", "get"),
            "put": operation("replace", "put"),
            "patch": operation("patch", "patch"),
            "delete": operation("delete", "delete"),
        }),
    );
    for (subresource, served) in [("status", kind.status), ("scale", kind.scale)] {
        if served {
            paths.insert(
                format!("{item}/{subresource}"),
                json!({
                    "parameters": parameters,
                    "get": operation("read", "get"),
                    "put": operation("replace", "put"),
                    "patch": operation("patch", "patch"),
                }),
            );
        }
    }
}

fn path_parameter(name: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})
}

fn write_parameters(action: &str) -> Value {
    let mut names = vec!["dryRun", "fieldManager", "fieldValidation"];
    if action == "patch" {
        names.push("force");
    }
    names
        .into_iter()
        .map(|name| {
            let kind = if name == "force" { "boolean" } else { "string" };
            json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}})
        })
        .collect()
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_custom_document_can_be_explained_and_applied() {
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object"}}});
        let kind = CustomKind {
            kind: "Widget",
            plural: "widgets",
            namespaced: true,
            status: true,
            scale: false,
            schema: &schema,
        };
        let document = custom_document("example.com", "v1", &[kind]);
        let schemas = &document["components"]["schemas"];
        assert!(schemas["com.example.v1.Widget"]["properties"]["metadata"]["allOf"].is_array());
        assert!(schemas["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"].is_object());
        assert!(schemas["io.k8s.apimachinery.pkg.apis.meta.v1.Time"].is_object());
        let item = "/apis/example.com/v1/namespaces/{namespace}/widgets/{name}";
        let patch = &document["paths"][item]["patch"];
        assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Widget");
        assert!(patch["parameters"].to_string().contains("fieldValidation"));
        assert!(document["paths"][format!("{item}/status")]["put"].is_object());
        assert!(document["paths"].get(format!("{item}/scale")).is_none());
    }
}
