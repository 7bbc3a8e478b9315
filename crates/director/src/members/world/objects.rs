//! The API server's part: objects are written, and observed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::growing::gibibytes;
use super::*;
use crate::build::{CONTENT_ANNOTATION, GENERATION_ANNOTATION, HASH_ANNOTATION};
use crate::names::ROLE_LABEL;

impl World {
    pub(super) fn observed(&self) -> Observed {
        let sets = self.sets.values().map(|set| {
            let observed = ObservedSet {
                object: set.object.clone(),
                replicas: set.replicas,
                claims: set.owner_of_claims.as_ref().map(|uid| {
                    let owners = json!([{ "uid": uid }]);
                    let size = format!("{}Gi", set.size);
                    json!([{
                        "metadata": {"name": "p", "ownerReferences": owners},
                        "spec": {"resources": {"requests": {"storage": size}}},
                    }])
                }),
                deleting: false,
            };
            (set.role.clone(), observed)
        });
        let pods = self.pods.iter().map(|(name, pod)| ObservedPod {
            object: Present {
                name: name.clone(),
                uid: pod.uid.clone(),
                made_from: Some(pod.made_from.clone()),
                ..Present::default()
            },
            role: pod.role.clone(),
            ordinal: pod.ordinal,
            created: Some(pod.created),
            deleting: pod.deleting,
            container: match &pod.reported {
                Some(id) => Container::Running { id: id.clone() },
                None => Container::Waiting,
            },
            ready: pod.reported.is_some(),
            marks: PodMarks::read(&pod.annotations),
            ..ObservedPod::default()
        });
        let claims = self.claims.iter().map(|(name, claim)| ObservedClaim {
            name: name.clone(),
            uid: claim.uid.clone(),
            role: claim.role.clone(),
            ordinal: claim.ordinal,
            belonging: if claim.owned { Belonging::Own } else { lost() },
            deleting: false,
            marks: ClaimMarks::read(&claim.annotations),
            auto_grow: AutoGrowMarks::read(&claim.annotations),
            revision: None,
            volume: claim.observed(),
        });
        Observed {
            headless: self.headless.clone(),
            sets: sets.collect(),
            pods: pods.collect(),
            claims: claims.collect(),
            services: self.services.values().cloned().collect(),
            delivery: self.delivery.as_ref().map(|secret| ObservedDelivery {
                object: secret.object.clone(),
                generation: secret.generation,
                content: secret.content.clone(),
                seed: Some(seed()),
            }),
            connections: self.connections(),
            hooks: self.hooks.clone(),
            demands: self.demands.clone(),
            entropy: Some(seed()),
            ..Observed::default()
        }
    }

    pub(super) fn carry_out(&mut self, effect: &Effect) {
        match effect {
            Effect::External { key } => {
                let key = HookKey::of_text(key).unwrap();
                // The handler begins at once; how far it comes is seen later.
                self.hooks.entry(key).or_insert(HookState::Running);
            }
            Effect::Apply(object) => {
                self.writes += 1;
                self.apply(object);
            }
            Effect::Patch { target, patch } => {
                self.writes += 1;
                let metadata = &patch["metadata"];
                let uid = text(metadata, "/uid");
                let annotations = metadata.get("annotations").cloned().unwrap_or_else(nothing);
                match target.kind.as_str() {
                    "Pod" => {
                        let pod = self.pods.get_mut(&target.name);
                        if let Some(pod) = pod.filter(|pod| pod.uid == uid) {
                            merge(&mut pod.annotations, &annotations);
                        }
                    }
                    "PersistentVolumeClaim" => {
                        let claim = self.claims.get_mut(&target.name);
                        if let Some(claim) = claim.filter(|claim| claim.uid == uid) {
                            merge(&mut claim.annotations, &annotations);
                            claim.owned |= metadata.get("ownerReferences").is_some();
                            let asked = patch.pointer("/spec/resources/requests/storage");
                            if let Some(asked) = asked.map(gibibytes) {
                                assert!(asked > claim.request, "{} shrinks", target.name);
                                claim.request = asked;
                            }
                        }
                    }
                    "KubeDirectorCluster" => {
                        assert_eq!(uid, self.blueprint().uid);
                        self.identity =
                            Some(text(&annotations, "/windlass.dev~1identity").to_owned());
                    }
                    kind if metadata.get("ownerReferences").is_some() => {
                        let object = self.present(kind, &target.name);
                        assert_eq!(object.uid, uid);
                        object.belonging = Belonging::Own;
                    }
                    "StatefulSet" => {
                        assert_eq!(self.sets[&target.name].object.uid, uid);
                        let replicas = patch["spec"]["replicas"].as_u64().unwrap() as u32;
                        self.check_farewell(&target.name, replicas);
                        self.sets.get_mut(&target.name).unwrap().replicas = replicas;
                    }
                    kind => panic!("{kind} is patched"),
                }
            }
            Effect::Delete { target, uid } => {
                self.writes += 1;
                let name = &target.name;
                match target.kind.as_str() {
                    "Pod" => {
                        let pod = self.pods.get_mut(name);
                        if let Some(pod) = pod.filter(|pod| pod.uid == *uid) {
                            pod.deleting = true;
                        }
                    }
                    "PersistentVolumeClaim" => {
                        let in_use = self.pods.keys().any(|pod| *name == format!("p-{pod}"));
                        assert!(!in_use, "{name} is in use");
                        self.claims
                            .retain(|own, claim| own != name || claim.uid != *uid);
                    }
                    "Service" => self
                        .services
                        .retain(|own, it| own != name || it.uid != *uid),
                    "StatefulSet" => {
                        self.sets
                            .retain(|own, it| own != name || it.object.uid != *uid);
                    }
                    kind => panic!("{kind} is deleted"),
                }
            }
            Effect::Orphan { target, uid } => {
                self.writes += 1;
                self.sets
                    .retain(|own, it| *own != target.name || it.object.uid != *uid);
            }
            effect => panic!("{effect:?}"),
        }
    }

    fn present(&mut self, kind: &str, name: &str) -> &mut Present {
        let found = match kind {
            "StatefulSet" => self.sets.get_mut(name).map(|set| &mut set.object),
            "Secret" => self.delivery.as_mut().map(|secret| &mut secret.object),
            "Service" => {
                let headless = self.headless.as_mut().filter(|it| it.name == name);
                headless.or(self.services.get_mut(name))
            }
            kind => panic!("{kind} is adopted"),
        };
        found.unwrap()
    }

    /// Everything comes back from a backup: with other uids, without owners, and without a status. Pods are
    /// new ones of the same names; what was on storage is there.
    pub(super) fn restore(&mut self) {
        for name in self.pods.keys().cloned().collect::<Vec<String>>() {
            self.stop(&name);
            let uid = self.uid();
            let pod = self.pods.get_mut(&name).unwrap();
            pod.uid = uid;
            pod.created = self.now;
            pod.deleting = false;
            pod.reported = None;
            pod.mounted = (0, String::new());
        }
        for claim in self.claims.values_mut() {
            claim.owned = false;
            // The new pods mount it.
            if claim.waits_since.take().is_some() {
                claim.capacity = claim.request;
            }
        }
        let sets = self.sets.values_mut().map(|set| &mut set.object);
        let delivery = self.delivery.as_mut().map(|it| &mut it.object);
        let services = self.services.values_mut().chain(&mut self.headless);
        for object in sets.chain(delivery).chain(services) {
            object.uid.push('\'');
            object.belonging = lost();
        }
        self.restored += 1;
        self.status = ClusterStatus::default();
        self.hooks.clear();
    }

    /// There are to be fewer: by now no member that stays may know one that goes, unless it had its
    /// time to take leave.
    fn check_farewell(&mut self, set: &str, replicas: u32) {
        let Some(set) = self.sets.get(set) else {
            return;
        };
        let mut faults = Vec::new();
        for (name, pod) in &self.pods {
            let marks = PodMarks::read(&pod.annotations);
            let goes = pod.role == set.role && (replicas..set.replicas).contains(&pod.ordinal);
            let Some(since) = marks.leaving.filter(|_| goes) else {
                continue;
            };
            let drained = marks.drained.map_or(since, |drained| drained.at);
            if self.now >= drained + NOTIFY_PATIENCE {
                continue;
            }
            for (other_name, other) in &self.pods {
                let stays = other.role != set.role || other.ordinal < replicas;
                let marks = PodMarks::read(&other.annotations);
                let script = other
                    .container
                    .as_ref()
                    .filter(|it| stays && !other.deleting && marks.set_up(&it.id) == SetUp::Done);
                let knows = |script: &Script| script.knows.contains(&pod.role, pod.ordinal);
                if script.is_some_and(|it| knows(&it.script)) && marks.leaving.is_none() {
                    faults.push(format!("{other_name} knows {name} as it goes"));
                }
            }
        }
        self.faults.extend(faults);
    }

    fn apply(&mut self, object: &Value) {
        let name = text(object, "/metadata/name").to_owned();
        let annotation = |key: &str| {
            let annotations = &object["metadata"]["annotations"];
            annotations[key].as_str().unwrap_or_default().to_owned()
        };
        let present = |uid: String| Present {
            name: name.clone(),
            uid,
            made_from: Some(annotation(HASH_ANNOTATION)),
            ..Present::default()
        };
        assert_eq!(
            text(object, "/metadata/ownerReferences/0/uid"),
            self.blueprint().uid
        );
        match text(object, "/kind") {
            "Service" if object["spec"]["clusterIP"] == "None" => {
                let uid = self.uid();
                self.headless = Some(present(uid));
            }
            "Service" => {
                let uid = self.uid();
                self.services.insert(name.clone(), present(uid));
            }
            "Secret" => {
                let uid = self.uid();
                let memo = STANDARD.decode(text(object, "/data/memo")).unwrap();
                self.delivery = Some(Secret {
                    object: present(uid),
                    generation: annotation(GENERATION_ANNOTATION).parse().unwrap(),
                    content: annotation(CONTENT_ANNOTATION),
                    memo: String::from_utf8(memo).unwrap().trim_end().to_owned(),
                });
            }
            "StatefulSet" => {
                let replicas = object["spec"]["replicas"].as_u64().unwrap() as u32;
                self.check_farewell(&name, replicas);
                let uid = match self.sets.get(&name) {
                    Some(set) => set.object.uid.clone(),
                    None => self.uid(),
                };
                let set = Set {
                    object: present(uid),
                    role: object["metadata"]["labels"][ROLE_LABEL]
                        .as_str()
                        .unwrap()
                        .to_owned(),
                    replicas,
                    template: annotation(HASH_ANNOTATION),
                    size: object
                        .pointer("/spec/volumeClaimTemplates/0/spec/resources/requests/storage")
                        .map_or(0, gibibytes),
                    owner_of_claims: object
                        .pointer("/spec/volumeClaimTemplates/0/metadata/ownerReferences/0/uid")
                        .and_then(Value::as_str)
                        .map(str::to_owned),
                };
                let before = self.sets.get(&name);
                assert!(before.is_none_or(|it| it.size == set.size), "{name}");
                self.sets.insert(name, set);
            }
            kind => panic!("{kind} is applied"),
        }
    }
}

fn lost() -> Belonging {
    Belonging::Lost { others: Vec::new() }
}
