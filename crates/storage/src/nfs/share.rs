//! A class of shares, as its claims and volumes show it. Pure.

use std::collections::BTreeSet;

use serde_json::Value;
use windlass_api::quantity::Quantity;
use windlass_engine::Object;

use crate::classes::claim::{Claim, Phase};
use crate::classes::class::Reclaim;
use crate::classes::controller::PROVISIONED_BY;

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
    /// What each of its volumes has, or its claim asks for, whichever is more; the oldest first.
    pub parts: Vec<Part>,
    /// What becomes of a volume whose claim is gone.
    pub reclaim: Reclaim,
}

/// What one claim, or one volume that has none, takes of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Whose it is, as people are told.
    pub of: String,
    /// How much.
    pub size: Quantity,
}

/// What is known of a volume. There may be thousands, so nothing else is kept of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    name: String,
    class: String,
    /// The uid of its claim.
    owner: String,
    size: Option<Quantity>,
    since: String,
    is_by_hand: bool,
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
        volumes: &[Volume],
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
    pub fn made(class: &str, claims: &[Object], volumes: &[Volume]) -> Self {
        let claims: Vec<&Object> = claims
            .iter()
            .filter(|it| unfit(it).is_none() && !Claim::of(it).picks_a_volume)
            .collect();
        let uids: BTreeSet<&str> = claims.iter().map(|it| it.uid()).collect();
        let asked = claims.iter().filter_map(|claim| {
            let request = quantity(&claim.spec()["resources"]["requests"]["storage"]);
            let size = request.max(quantity(&claim.status()["capacity"]["storage"]))?;
            let namespace = claim.namespace().unwrap_or_default();
            let of = format!("the claim {namespace}/{}", claim.name());
            Some((made_at(claim), Part { of, size }))
        });
        let left = volumes
            .iter()
            .filter(|it| it.class == class && !uids.contains(it.owner.as_str()));
        let left = left.filter_map(|volume| {
            let of = format!("the volume {}", volume.name);
            Some((
                volume.since.clone(),
                Part {
                    of,
                    size: volume.size?,
                },
            ))
        });
        let mut parts: Vec<(String, Part)> = asked.chain(left).collect();
        // Within a second the order is that of the names.
        parts.sort_by(|one, other| one.0.cmp(&other.0));
        Self {
            class: class.to_owned(),
            made_for: String::new(),
            parts: parts.into_iter().map(|(_, part)| part).collect(),
            reclaim: Reclaim::Retain,
        }
    }
}

impl Volume {
    /// Reads what matters.
    pub fn of(volume: &Object) -> Self {
        let spec = volume.spec();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            name: volume.name().to_owned(),
            class: text(&spec["storageClassName"]),
            owner: text(&spec["claimRef"]["uid"]),
            size: quantity(&spec["capacity"]["storage"]),
            since: made_at(volume),
            is_by_hand: volume.annotation(PROVISIONED_BY).is_none(),
        }
    }

    /// Whether somebody has made it by hand for claims of this class.
    pub fn is_by_hand_for(&self, class: &str) -> bool {
        self.is_by_hand && self.class == class
    }
}

/// As it is written, which is in the order of time.
fn made_at(object: &Object) -> String {
    let since = object.as_value()["metadata"]["creationTimestamp"].as_str();
    since.unwrap_or_default().to_owned()
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
            Volume::of(&Object::new(json!({
                "metadata": {"name": "pv", "creationTimestamp": "2026-05-04T03:02:01Z"},
                "spec": {
                    "storageClassName": class, "capacity": {"storage": "3Gi"}, "claimRef": {"uid": owner},
                },
            })))
        };
        let claims = [Object::new(grown), waiting];
        let volumes = [
            volume("nfs", "uid-of-grown"),
            volume("nfs", "uid-of-one-that-is-gone"),
            volume("other", "somebody"),
        ];
        let share = Share::of("nfs", &claims, &volumes, |_| true).unwrap();
        let parts = share
            .parts
            .iter()
            .map(|it| format!("{} {}", it.of, it.size));
        let parts: Vec<String> = parts.collect();
        let told = [
            "the claim team/grown 15Gi",
            "the claim team/waiting 10Gi",
            "the volume pv 3Gi",
        ];
        assert_eq!(parts, told);
        assert_eq!(share.made_for, "team/waiting");
        assert_eq!(share.reclaim, Reclaim::Retain);
        assert_eq!(Share::of("nfs", &claims, &volumes, |_| false), None);
        assert_eq!(Share::made("nfs", &claims, &volumes).parts, share.parts);
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
