//! What a cluster is connected to, as its members are shown it. Pure.

use std::collections::BTreeMap;

use serde_json::Value;
use windlass_api::director::Hidden;
use windlass_engine::Object;

use crate::build::DELIVERY_TYPE;
use crate::configmeta::{ConnectedConfigMap, ConnectedSecret};
use crate::names::{CONFIG_MAP_TYPE_LABEL, SECRET_TYPE_LABEL};

/// A ConfigMap that members are shown; nothing when it says of no type.
pub(super) fn config_map(object: &Object) -> Option<ConnectedConfigMap> {
    Some(ConnectedConfigMap {
        kind: object.label(CONFIG_MAP_TYPE_LABEL)?.to_owned(),
        name: object.name().to_owned(),
        data: texts(&object.as_value()["data"]),
        labels: texts(&object.as_value()["metadata"]["labels"]),
        annotations: annotations(object),
    })
}

/// A Secret that members are shown; nothing when it says of no type, or is what is mounted in them.
pub(super) fn secret(object: &Object) -> Option<ConnectedSecret> {
    let kind = object.label(SECRET_TYPE_LABEL)?;
    if kind == DELIVERY_TYPE {
        return None;
    }
    let data = texts(&object.as_value()["data"]);
    Some(ConnectedSecret {
        kind: kind.to_owned(),
        name: object.name().to_owned(),
        data: data
            .into_iter()
            .map(|(key, value)| (key, Hidden::new(value)))
            .collect(),
        labels: texts(&object.as_value()["metadata"]["labels"]),
        annotations: annotations(object),
    })
}

fn annotations(object: &Object) -> BTreeMap<String, String> {
    texts(&object.as_value()["metadata"]["annotations"])
}

fn texts(map: &Value) -> BTreeMap<String, String> {
    let entries = map.as_object().into_iter().flatten();
    entries
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_has_a_type_is_shown_and_what_is_mounted_already_is_not() {
        let object = |labels: Value| {
            let metadata = json!({"name": "model", "labels": labels});
            Object::new(json!({"metadata": metadata, "data": {"key": "text"}}))
        };
        assert_eq!(config_map(&object(json!({}))), None);
        let shown = config_map(&object(json!({CONFIG_MAP_TYPE_LABEL: "models"})));
        assert_eq!(shown.map(|it| it.kind), Some("models".to_owned()));
        assert_eq!(
            secret(&object(json!({SECRET_TYPE_LABEL: DELIVERY_TYPE}))),
            None
        );
        let shown = secret(&object(json!({SECRET_TYPE_LABEL: "users"})));
        assert_eq!(shown.map(|it| it.name), Some("model".to_owned()));
    }
}
