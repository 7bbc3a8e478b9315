//! The driver pod while it is being built: the pod, and the Spark container apart from it.

use serde_json::{Map, Value, json};

/// A pod and its Spark container. The container is put back, as the last one, by [`Self::finish`].
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SparkPod {
    pub(super) pod: Value,
    pub(super) container: Value,
}

impl SparkPod {
    /// A pod without anything.
    pub(super) fn empty() -> Self {
        Self {
            pod: json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {}}),
            container: json!({}),
        }
    }

    pub(super) fn add_env(&mut self, name: &str, value: &str) {
        list(&mut self.container["env"]).push(json!({"name": name, "value": value}));
    }

    pub(super) fn add_env_from(&mut self, name: &str, source: Value) {
        list(&mut self.container["env"]).push(json!({"name": name, "valueFrom": source}));
    }

    pub(super) fn add_port(&mut self, name: &str, port: u16) {
        list(&mut self.container["ports"])
            .push(json!({"name": name, "containerPort": port, "protocol": "TCP"}));
    }

    pub(super) fn add_args<S: Into<String>>(&mut self, args: impl IntoIterator<Item = S>) {
        list(&mut self.container["args"])
            .extend(args.into_iter().map(|arg| Value::String(arg.into())));
    }

    /// Adds a volume and mounts it as a whole.
    pub(super) fn add_mounted(&mut self, name: &str, source: (&str, Value), path: &str) {
        self.add_volume(name, source);
        self.add_mount(json!({"name": name, "mountPath": path}));
    }

    pub(super) fn add_volume(&mut self, name: &str, (kind, source): (&str, Value)) {
        list(&mut self.pod["spec"]["volumes"]).push(json!({"name": name, kind: source}));
    }

    pub(super) fn add_mount(&mut self, mount: Value) {
        list(&mut self.container["volumeMounts"]).push(mount);
    }

    /// Puts the Spark container back and returns the pod and the container's name.
    pub(super) fn finish(mut self) -> (Value, String) {
        collapse_env(&mut self.container);
        let name = self.container["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        list(&mut self.pod["spec"]["containers"]).push(self.container);
        (self.pod, name)
    }
}

/// The list at this place, made if there is none.
#[expect(clippy::expect_used, reason = "the line above makes it a list")]
pub(super) fn list(place: &mut Value) -> &mut Vec<Value> {
    if !place.is_array() {
        *place = Value::Array(Vec::new());
    }
    place.as_array_mut().expect("this is a list")
}

/// The object at this place, made if there is none.
#[expect(clippy::expect_used, reason = "the line above makes it an object")]
pub(super) fn object(place: &mut Value) -> &mut Map<String, Value> {
    if !place.is_object() {
        *place = Value::Object(Map::new());
    }
    place.as_object_mut().expect("this is an object")
}

/// Of a variable that is set several times only the last is kept: a kubelet would let it win, and
/// server-side apply would refuse the others.
fn collapse_env(container: &mut Value) {
    let Some(env) = container.get_mut("env").and_then(Value::as_array_mut) else {
        return;
    };
    let names: Vec<Value> = env
        .iter()
        .map(|variable| variable["name"].clone())
        .collect();
    let mut position = 0;
    env.retain(|variable| {
        position += 1;
        !names[position..].contains(&variable["name"])
    });
}
