//! A class of shares, as its claims and volumes show it. Pure.

use std::collections::BTreeSet;

use serde_json::Value;
use windlass_api::quantity::Quantity;
use windlass_engine::Object;

use crate::classes::claim::{Claim, Phase};
use crate::classes::class::Reclaim;

/// The annotation of claims whose class is one of shares, whatever its name; its value is `server`.
pub const WANTED: (&str, &str) = ("windlass.dev/storage-nfs", "server");
/// What a class of shares is known by, as the original operator knew it.
const IN_ITS_NAME: &str = "nfs";
/// With `true` the original operator served the directory `/tmp` of a node instead of a disk.
const WITHOUT_A_DISK: &str = "localvolume";

/// A class of shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Its name.
    pub class: String,
    /// The claim that wanted it first.
    pub made_for: String,
    /// What each of its volumes has, or its claim asks for, whichever is more.
    pub sizes: Vec<Quantity>,
    /// What becomes of a volume whose claim is gone.
    pub reclaim: Reclaim,
}

/// Whether a claim is one for a share.
pub fn is_meant(claim: &Object) -> bool {
    let class = class_of(claim).unwrap_or_default();
    claim.annotation(WANTED.0) == Some(WANTED.1) && !class.is_empty() || is_share_name(class)
}

/// Whether a class is one of shares by its name.
pub fn is_share_name(class: &str) -> bool {
    class.contains(IN_ITS_NAME)
}

/// The class that a claim names.
pub fn class_of(claim: &Object) -> Option<&str> {
    let class = claim.spec()["storageClassName"].as_str();
    class.filter(|it| !it.is_empty())
}

/// Why a claim for a share cannot have one, if it cannot.
pub fn unfit(claim: &Object) -> Option<String> {
    let read = Claim::of(claim);
    if read.is_raw {
        return Some(
            "spec.volumeMode: a share is a file system; leave Block out, or name a class of disks"
                .to_owned(),
        );
    }
    if claim.annotation(WITHOUT_A_DISK) == Some("true") {
        return Some(format!(
            "the annotation {WITHOUT_A_DISK} asks for a share of a directory of some node, which goes with the \
             node: remove it, and the share has a disk"
        ));
    }
    read.hints.err()
}

impl Share {
    /// Reads a class from the claims that name it, in the order of their names, of which those that are
    /// wanted are known by `wants`, and from its volumes. `None` where nobody wants a share.
    ///
    /// A volume whose claim is gone still has its data on the disk.
    pub fn of(
        class: &str,
        claims: &[Object],
        volumes: &[Object],
        wants: impl Fn(&Object) -> bool,
    ) -> Option<Self> {
        let first = claims.iter().find(|claim| {
            let read = Claim::of(claim);
            let is_open = read.phase == Phase::Pending && !read.is_deleting && !read.picks_a_volume;
            is_open && is_meant(claim) && unfit(claim).is_none() && wants(claim)
        })?;
        Some(Self {
            made_for: format!("{}/{}", first.namespace().unwrap_or_default(), first.name()),
            // What is shared by many is not thrown away with one claim, as the original operator had it.
            reclaim: Claim::of(first)
                .hints
                .ok()
                .and_then(|it| it.reclaim)
                .unwrap_or(Reclaim::Retain),
            ..Self::made(class, claims, volumes)
        })
    }

    /// Reads a class that is there already, whoever wants it.
    pub fn made(class: &str, claims: &[Object], volumes: &[Object]) -> Self {
        let claims: Vec<&Object> = claims
            .iter()
            .filter(|it| unfit(it).is_none() && !Claim::of(it).picks_a_volume)
            .collect();
        let uids: BTreeSet<&str> = claims.iter().map(|it| it.uid()).collect();
        let asked = claims.iter().filter_map(|claim| {
            let request = quantity(&claim.spec()["resources"]["requests"]["storage"]);
            request.max(quantity(&claim.status()["capacity"]["storage"]))
        });
        let left = volumes.iter().filter(|volume| {
            let spec = volume.spec();
            let owner = spec["claimRef"]["uid"].as_str().unwrap_or_default();
            spec["storageClassName"] == class && !uids.contains(owner)
        });
        let left = left.filter_map(|it| quantity(&it.spec()["capacity"]["storage"]));
        Self {
            class: class.to_owned(),
            made_for: String::new(),
            sizes: asked.chain(left).collect(),
            reclaim: Reclaim::Retain,
        }
    }
}

fn quantity(value: &Value) -> Option<Quantity> {
    value.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claim(name: &str, class: &Value, annotations: &Value) -> Object {
        Object::new(json!({
            "metadata": {
                "namespace": "team", "name": name, "uid": format!("uid-of-{name}"),
                "annotations": annotations,
            },
            "spec": {
                "storageClassName": class, "accessModes": ["ReadWriteMany"],
                "resources": {"requests": {"storage": "10Gi"}},
            },
        }))
    }

    #[test]
    fn a_share_is_known_by_the_name_of_its_class_or_by_an_annotation() {
        let wanted = json!({ WANTED.0: WANTED.1 });
        let meant =
            |class: Value, annotations: &Value| is_meant(&claim("one", &class, annotations));
        assert!(meant(json!("my-nfs"), &json!({})));
        assert!(meant(json!("shared"), &wanted));
        assert!(!meant(json!("shared"), &json!({})));
        assert!(!meant(json!(""), &wanted));
        assert!(!meant(json!(null), &wanted));
    }

    #[test]
    fn a_class_has_room_for_claims_that_are_larger_than_asked_and_for_volumes_without_one() {
        let mut grown = claim("grown", &json!("nfs"), &json!({})).into_value();
        grown["status"] = json!({"phase": "Bound", "capacity": {"storage": "15Gi"}});
        let waiting = claim("waiting", &json!("nfs"), &json!({}));
        let volume = |class: &str, owner: &str| {
            Object::new(json!({"spec": {
                "storageClassName": class, "capacity": {"storage": "3Gi"}, "claimRef": {"uid": owner},
            }}))
        };
        let claims = [Object::new(grown), waiting];
        let volumes = [
            volume("nfs", "uid-of-grown"),
            volume("nfs", "uid-of-one-that-is-gone"),
            volume("other", "somebody"),
        ];
        let share = Share::of("nfs", &claims, &volumes, |_| true).unwrap();
        let sizes: Vec<String> = share.sizes.iter().map(ToString::to_string).collect();
        assert_eq!(sizes, ["15Gi", "10Gi", "3Gi"]);
        assert_eq!(share.made_for, "team/waiting");
        assert_eq!(share.reclaim, Reclaim::Retain);
        assert_eq!(Share::of("nfs", &claims, &volumes, |_| false), None);
        assert_eq!(Share::made("nfs", &claims, &volumes).sizes, share.sizes);
    }

    #[test]
    fn a_claim_that_cannot_be_a_share_says_why() {
        let mut raw = claim("raw", &json!("nfs"), &json!({})).into_value();
        raw["spec"]["volumeMode"] = json!("Block");
        let told = |object: &Object| unfit(object).unwrap();
        assert!(told(&Object::new(raw)).starts_with("spec.volumeMode"));
        let local = claim("local", &json!("nfs"), &json!({"localvolume": "true"}));
        assert!(told(&local).contains("localvolume"), "{}", told(&local));
        let wrong = json!({"windlass.dev/storage-reclaim-policy": "Keep"});
        let wrong = claim("wrong", &json!("nfs"), &wrong);
        assert!(told(&wrong).contains("storage-reclaim-policy"));
        assert_eq!(unfit(&claim("good", &json!("nfs"), &json!({}))), None);
        assert_eq!(Share::of("nfs", &[local, wrong], &[], |_| true), None);
    }
}
