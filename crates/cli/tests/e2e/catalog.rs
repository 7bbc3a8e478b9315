//! What is in the catalog, as virtual clusters with real software.

mod autoscale;
mod cassandra;
mod growth;
mod health;
mod kafka;
mod linux;
mod notebook;
mod standalone;

use std::fs;

use serde_json::{Value, json};

use crate::common::{Kubectl, Up, root, windlass};
use crate::real::eventually;

/// An embedded cluster with virtual clusters; says so where there can be none.
fn embedded() -> Option<Up> {
    embedded_with("")
}

/// One that was started with these options, too.
fn embedded_with(options: &str) -> Option<Up> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("left out: members are set up by root alone");
        return None;
    }
    Some(Up::with(&format!("--virtual-clusters {options}")))
}

/// Lets an application tell all members who comes and goes, whatever its default is.
fn all_are_told(app: &mut Value) {
    let spec = app["spec"].as_object_mut().unwrap();
    spec.remove("defaultEventList");
}

/// A virtual cluster of the catalog, which has the name of its application.
pub(crate) struct Virtual<'c> {
    pub(crate) kubectl: &'c Kubectl,
    pub(crate) name: &'static str,
}

impl Virtual<'_> {
    /// Applies the catalog as its documentation says, after these changes.
    pub(crate) fn apply(&self, change_app: impl Fn(&mut Value), change_role: impl Fn(&mut Value)) {
        let catalog = root().join("catalog").join(self.name);
        let app = windlass(&["app", "package", &catalog.display().to_string()]);
        assert_eq!(app.code, 0, "{}", app.stderr);
        for mut object in windlass_api::parse::objects(&app.stdout).unwrap() {
            if object["kind"] == "KubeDirectorApp" {
                change_app(&mut object);
            }
            self.kubectl.apply(&object);
        }
        let cluster = fs::read_to_string(catalog.join("cluster.yaml")).unwrap();
        for mut object in windlass_api::parse::objects(&cluster).unwrap() {
            let roles = object["spec"]["roles"].as_array_mut().unwrap();
            roles.iter_mut().for_each(&change_role);
            self.kubectl.apply(&object);
        }
    }

    fn resize(&self, role: &str, members: usize) {
        let roles = self.cluster()["spec"]["roles"].clone();
        let mut roles = roles.as_array().unwrap().iter();
        let place = roles.position(|it| it["id"] == role).unwrap();
        let path = format!("/spec/roles/{place}/members");
        let patch = json!([{ "op": "replace", "path": path, "value": members }]).to_string();
        let object = ["patch", "kubedirectorcluster", self.name];
        self.kubectl
            .kubectl_ok(&[&object[..], &["--type=json", "-p", &patch]].concat());
    }

    /// Waits until there are so many members of a role, all members are set up, and nothing is left to do.
    pub(crate) fn settled(&self, role: &str, members: usize) {
        eventually(&format!("{members} {role}s to be set up"), || {
            let cluster = self.cluster();
            let status = &cluster["status"];
            let roles = status["roles"].as_array()?;
            let known = roles.iter().find(|it| it["id"] == role)?["members"].as_array()?;
            let seen = status["observedGeneration"] == cluster["metadata"]["generation"];
            let done = status["state"] == "configured" && known.len() == members;
            let failed = status["memberStateRollup"]["configErrors"] == true;
            assert!(!failed, "{status:#}");
            (seen && done).then_some(())
        });
    }

    pub(crate) fn cluster(&self) -> Value {
        let found = self.kubectl.get(&["kubedirectorcluster", self.name]);
        found.unwrap()
    }

    /// The pod of a member.
    pub(crate) fn pod(&self, role: &str, ordinal: usize) -> String {
        let status = self.cluster()["status"].clone();
        let roles = status["roles"].as_array().unwrap();
        let role = roles.iter().find(|it| it["id"] == role).unwrap();
        format!("{}-{ordinal}", role["statefulSet"].as_str().unwrap())
    }

    pub(crate) fn in_pod(&self, pod: &str, command: &[&str]) -> String {
        self.kubectl
            .kubectl_ok(&[&["exec", pod, "--"], command].concat())
    }
}
