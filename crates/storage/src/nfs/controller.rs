//! Shares on the engine. The first claim of a class, by its name, takes care of the server; the others tell
//! how it stands while they wait.
//!
//! What a server consists of is read from the API where it is needed, and not watched: the operator may do
//! nothing about objects of that kind anywhere but in the servers' namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;
use windlass_engine::api::ApiError;
use windlass_engine::plan::Plan;
use windlass_engine::{Child, Class, Controller, Kind, Object, ObjectKey, View, Watch};

use super::plan::{Keeping, Observed, Standing, Trouble, plan};
use super::server::{
    CSI_DRIVER as BY_CSI, Disk, Present, SERVER, Settings, Way, disk_name, server_name,
};
use super::share::{Share, Volume, class_of, is_meant, unfit};
use crate::classes;
use crate::classes::claim::{Claim, Phase};
use crate::classes::class::MADE_FOR;
use crate::classes::controller::{CLAIM, CLASS, CSI_DRIVER, LABELS, LATELY, VOLUME};

const SET: Kind = Kind::namespaced("apps", "v1", "StatefulSet", "statefulsets");

/// Makes servers for classes of shares.
pub struct Shares {
    settings: Settings,
    /// Which claims get classes at all.
    classes: classes::Settings,
    claims: Arc<Claims>,
    /// All volumes, as of the last look.
    volumes: Mutex<Option<(Instant, Arc<[Volume]>)>>,
}

/// The claims of each class that could be shares.
#[derive(Debug, Default)]
struct Claims(Mutex<BTreeMap<String, BTreeSet<ObjectKey>>>);

/// What of a server is there, as it was read.
struct Found {
    present: Present,
    taken: Vec<String>,
    way: Way,
    standing: Standing,
}

impl Shares {
    /// The controller.
    pub fn new(settings: Settings, classes: classes::Settings) -> Self {
        Self {
            settings,
            classes,
            claims: Arc::default(),
            volumes: Mutex::default(),
        }
    }

    /// Whether a namespace, or everybody, wants classes for this claim.
    async fn is_wanted(&self, claim: &Object, view: &View) -> Result<bool, ApiError> {
        if class_of(claim).is_some_and(|class| self.classes.is_for_everybody(class)) {
            return Ok(true);
        }
        let key = ObjectKey::cluster(claim.namespace().unwrap_or_default());
        let namespace = view.get(&Kind::NAMESPACE, &key).await?;
        Ok(namespace
            .as_ref()
            .is_some_and(classes::Settings::is_wanted_in))
    }

    /// The class with all that uses it; `None` where it is not there, and nobody wants it.
    async fn share(
        &self,
        class: &str,
        is_made: bool,
        view: &View,
    ) -> Result<Option<Share>, ApiError> {
        let mut claims = Vec::new();
        let mut wanted = BTreeSet::new();
        for key in self.claims.of(class) {
            let Some(claim) = view.get(&CLAIM, &key).await? else {
                continue;
            };
            if !is_made && is_meant(&claim) && self.is_wanted(&claim, view).await? {
                wanted.insert(key);
            }
            claims.push(claim);
        }
        if !is_made && wanted.is_empty() {
            return Ok(None);
        }
        let volumes = self.volumes(view).await?;
        if is_made {
            return Ok(Some(Share::made(class, &claims, &volumes)));
        }
        // A name under which somebody makes volumes by hand needs no class.
        let by_hand = volumes.iter().any(|it| it.is_by_hand_for(class));
        let wants = |claim: &Object| !by_hand && wanted.contains(&claim.key());
        Ok(Share::of(class, &claims, &volumes, wants))
    }

    /// All volumes, of which there may be thousands, and each claim's events ask for them. What is not seen
    /// yet is a volume of a claim that counts by itself, or one that has just lost its claim.
    async fn volumes(&self, view: &View) -> Result<Arc<[Volume]>, ApiError> {
        let lately = self.volumes.lock().clone();
        if let Some((when, volumes)) = lately
            && when.elapsed() < LATELY
        {
            return Ok(volumes);
        }
        let found = view.api().list(&VOLUME, None, None).await?;
        let volumes: Arc<[Volume]> = found.iter().map(Volume::of).collect();
        *self.volumes.lock() = Some((Instant::now(), Arc::clone(&volumes)));
        Ok(volumes)
    }

    /// What a claim that waits has to tell of a server that another one takes care of.
    async fn served(
        &self,
        claim: &Object,
        keeper: Option<&ObjectKey>,
        is_made: bool,
        view: &View,
    ) -> Result<Observed, ApiError> {
        let waits = Claim::of(claim).phase == Phase::Pending;
        let is_wanted = is_made || is_meant(claim) && self.is_wanted(claim, view).await?;
        let (Some(class), true) = (class_of(claim), waits && is_wanted) else {
            return Ok(Observed::NoConcern);
        };
        let keeper = match keeper {
            Some(key) => view.get(&CLAIM, key).await?,
            None => None,
        };
        let trouble = keeper.as_ref().and_then(Trouble::on);
        Ok(Observed::Served(self.standing(class, view).await?, trouble))
    }

    /// How the server of a class stands.
    async fn standing(&self, class: &str, view: &View) -> Result<Standing, ApiError> {
        let key = ObjectKey::namespaced(self.settings.namespace.as_str(), server_name(class));
        let set = view.api().get(&SET, &key).await?;
        Ok(set.as_ref().map_or(Standing::Absent, standing))
    }

    /// Reads what of a server is there.
    async fn found(
        &self,
        class: &str,
        made: Option<&Object>,
        view: &View,
    ) -> Result<Found, ApiError> {
        let server = server_name(class);
        let mut found = Found {
            present: Present {
                class: made.is_some(),
                ..Present::default()
            },
            taken: Vec::new(),
            way: Way::Own,
            standing: Standing::Absent,
        };
        let names = [
            (CLAIM, disk_name(class)),
            (Kind::SERVICE, server.clone()),
            (Kind::CONFIG_MAP, server.clone()),
            (SET, server.clone()),
        ];
        let mut parts = Vec::new();
        for (kind, name) in &names {
            let key = ObjectKey::namespaced(self.settings.namespace.as_str(), name.as_str());
            let part = view.api().get(kind, &key).await?;
            // Two classes may have servers of one name, however unlikely: the first one has it.
            let is_ours = |it: &Object| {
                it.label(SERVER) == Some(server.as_str()) && it.annotation(MADE_FOR) == Some(class)
            };
            if part.as_ref().is_some_and(|it| !is_ours(it)) {
                found.taken.push(format!("the {} {name}", kind.kind));
            }
            parts.push(part);
        }
        if let [disk, service, exports, set] = &parts[..] {
            let present = &mut found.present;
            present.disk = disk.as_ref().and_then(disk_of);
            let known_at = made.and_then(|it| it.as_value()["parameters"]["server"].as_str());
            present.known_at = known_at.map(str::to_owned);
            let address = service
                .as_ref()
                .and_then(|it| it.spec()["clusterIP"].as_str());
            present.address = address.map(str::to_owned);
            present.exports = exports.is_some();
            present.set = set.is_some();
            if let Some(set) = set {
                found.standing = standing(set);
            }
        }
        found.way = match made {
            // What is there decides: volumes know their server by it.
            Some(made) if made.as_value()["provisioner"] == BY_CSI => Way::Csi,
            Some(_) => Way::Own,
            None if found.present.set && found.present.exports => Way::Csi,
            None if found.present.set => Way::Own,
            None => {
                let driver = view.get(&CSI_DRIVER, &ObjectKey::cluster(BY_CSI)).await?;
                driver.map_or(Way::Own, |_| Way::Csi)
            }
        };
        Ok(found)
    }
}

fn disk_of(claim: &Object) -> Option<Disk> {
    let size = claim.spec()["resources"]["requests"]["storage"].as_str()?;
    Some(Disk {
        size: size.parse().ok()?,
        is_bound: claim.status()["phase"] == "Bound",
    })
}

fn standing(set: &Object) -> Standing {
    if set.status()["readyReplicas"].as_i64().unwrap_or_default() > 0 {
        return Standing::Ready;
    }
    let since = set.as_value()["metadata"]["creationTimestamp"].as_str();
    let since = since.and_then(|it| it.parse().ok());
    Standing::Starting(since.unwrap_or(Timestamp::UNIX_EPOCH))
}

impl Claims {
    fn note(&self, old: Option<&Object>, new: Option<&Object>) -> Vec<ObjectKey> {
        // A claim that was made anew while nobody looked may have another class.
        if let (Some(before), Some(now)) = (old, new)
            && class_of(before) != class_of(now)
        {
            let mut told = self.note(Some(before), None);
            told.extend(self.note(None, Some(now)));
            return told;
        }
        let mut all = self.0.lock();
        let Some(class) = new.or(old).and_then(class_of) else {
            return Vec::new();
        };
        let of_class = all.entry(class.to_owned()).or_default();
        let before = of_class.first().cloned();
        match (old, new) {
            (_, Some(claim)) if unfit(claim).is_none() => {
                of_class.insert(claim.key());
            }
            (_, Some(other)) | (Some(other), None) => {
                of_class.remove(&other.key());
            }
            (None, None) => {}
        }
        let keeper = of_class.first().cloned();
        if of_class.is_empty() {
            all.remove(class);
        }
        // Who takes care of the server hears of every claim, and so does who no longer does.
        let mut told: Vec<ObjectKey> = keeper.into_iter().collect();
        told.extend(before.filter(|it| told.first() != Some(it)));
        told
    }

    fn of(&self, class: &str) -> Vec<ObjectKey> {
        let all = self.0.lock();
        all.get(class).into_iter().flatten().cloned().collect()
    }

    fn keeper(&self, class: &str) -> Option<ObjectKey> {
        self.0.lock().get(class)?.first().cloned()
    }

    fn in_namespace(&self, namespace: &str) -> Vec<ObjectKey> {
        let all = self.0.lock();
        let claims = all.values().flatten();
        let found = claims.filter(|it| it.namespace.as_deref() == Some(namespace));
        found.cloned().collect()
    }

    fn keepers(&self) -> Vec<ObjectKey> {
        let all = self.0.lock();
        all.values().filter_map(BTreeSet::first).cloned().collect()
    }
}

impl Controller for Shares {
    type Status = Value;
    type Observed = Observed;

    fn name(&self) -> &'static str {
        "storage-nfs"
    }

    fn primary(&self) -> Watch {
        Watch::all(CLAIM)
    }

    fn children(&self) -> Vec<Child> {
        let of_class = Arc::clone(&self.claims);
        let (all, in_namespace) = (Arc::clone(&self.claims), Arc::clone(&self.claims));
        vec![
            Child::mapped(Watch::all(CLASS), move |class| of_class.of(class.name())),
            Child::mapped(Watch::all(CSI_DRIVER), move |_| all.keepers()),
            Child::mapped(Watch::all(Kind::NAMESPACE).trim(LABELS), move |namespace| {
                in_namespace.in_namespace(namespace.name())
            }),
        ]
    }

    fn neighbours(&self, old: Option<&Object>, new: Option<&Object>) -> Vec<ObjectKey> {
        self.claims.note(old, new)
    }

    fn class(&self, _object: &Object) -> Class {
        Class::New
    }

    async fn observe(&self, object: &Object, view: &View) -> Result<Observed, ApiError> {
        let Some(class) = class_of(object) else {
            return Ok(Observed::NoConcern);
        };
        let made = view.get(&CLASS, &ObjectKey::cluster(class)).await?;
        let is_made = match &made {
            Some(made) if made.label(SERVER).is_some() => true,
            // Somebody else's class, of whatever name.
            Some(_) => return Ok(Observed::NoConcern),
            None => false,
        };
        if unfit(object).is_some() {
            let is_wanted = is_made || is_meant(object) && self.is_wanted(object, view).await?;
            return Ok(if is_wanted {
                Observed::Unfit
            } else {
                Observed::NoConcern
            });
        }
        let keeper = self.claims.keeper(class);
        if keeper.as_ref() != Some(&object.key()) {
            return self.served(object, keeper.as_ref(), is_made, view).await;
        }
        let Some(share) = self.share(class, is_made, view).await? else {
            return Ok(Observed::NoConcern);
        };
        let found = self.found(class, made.as_ref(), view).await?;
        Ok(Observed::Keeper(Box::new(Keeping {
            share,
            present: found.present,
            taken: found.taken,
            way: found.way,
            standing: found.standing,
            refusal: view.refusal().map(|it| it.error.message.clone()),
        })))
    }

    fn plan(&self, object: &Object, observed: &Observed, now: Timestamp) -> Plan<Value> {
        plan(object, observed, &self.settings, now)
    }
}
