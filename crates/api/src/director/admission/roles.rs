//! A cluster with its defaults, held against the application and what else there is.

use super::surroundings::{AccessMode, Review, Surroundings, VolumeMode};
use crate::director::app::{AppRole, AppSpec, Demand};
use crate::director::cardinality::Cardinality;
use crate::director::cluster::{Autoscale, ClusterRole, ClusterSpec, SecretMount};
use crate::director::findings::{Findings, is_at_or_below};
use crate::field::FieldPath;
use crate::quantity::Quantity;
use crate::schema;

/// Everything in the way of a cluster that is right in itself. The application is folded.
pub(super) fn check(
    findings: &mut Findings,
    spec: &ClusterSpec,
    app: &AppSpec,
    around: &Surroundings,
) {
    let at = FieldPath::new("spec");
    check_selected(findings, spec, app, &at.field("roles"));
    let checker = Checker { spec, app, around };
    let default = spec.default_secret.as_ref();
    checker.secret(findings, default, &at.field("defaultSecret"));
    for (index, role) in spec.roles.iter().enumerate() {
        let at = at.field("roles").index(index);
        checker.role(findings, role, &at);
        // What was copied into the role is told where it was written.
        if role.secret.as_ref() != default {
            checker.secret(findings, role.secret.as_ref(), &at.field("secret"));
        }
    }
}

fn check_selected(findings: &mut Findings, spec: &ClusterSpec, app: &AppSpec, at: &FieldPath) {
    for id in &app.config.selected_roles {
        let cardinality = app.role(id).and_then(|role| role.cardinality.read().ok());
        let least = cardinality.map_or(0, Cardinality::minimum);
        if least > 0 && spec.role(id).is_none() {
            let detail = format!(
                "must have the role {id}, of which {} needs {least}",
                spec.app
            );
            findings.missing(at.clone(), detail);
        }
    }
}

struct Checker<'a> {
    spec: &'a ClusterSpec,
    app: &'a AppSpec,
    around: &'a Surroundings,
}

impl Checker<'_> {
    fn role(&self, findings: &mut Findings, role: &ClusterRole, at: &FieldPath) {
        match self.app.role(&role.id) {
            Some(of_app) => {
                check_members(findings, role, of_app, at);
                check_resources(findings, role, of_app, at);
                check_storage(findings, role, of_app, at);
                check_persistent(findings, role, of_app, at);
                if let Some(autoscale) = &role.autoscale {
                    self.autoscale(findings, autoscale, of_app, &at.field("autoscale"));
                }
            }
            None => {
                let known = self.app.roles.iter().map(|it| it.id.as_str());
                let detail = match schema::nearest(&role.id, known.clone()) {
                    Some(nearest) => {
                        format!("is no role of the application; did you mean {nearest}?")
                    }
                    None => format!(
                        "is no role of the application; its roles are {}",
                        known.collect::<Vec<_>>().join(", ")
                    ),
                };
                findings.invalid(at.field("id"), role.id.as_str(), detail);
            }
        }
        let storage = role.storage.as_ref();
        if let Some(storage) = storage {
            let class = storage.storage_class_name.as_deref();
            let at = at.field("storage");
            self.class(findings, class, &at);
            if storage.auto_grow.is_some() {
                self.can_grow(findings, class, at.field("autoGrow"));
            }
        }
        if let Some(devices) = &role.block_storage {
            let class = devices.storage_class_name.as_deref();
            self.class(findings, class, &at.field("blockStorage"));
        }
        if let Some(size) = &role.shared_memory
            && !self.around.has_shared_memory()
        {
            let detail = "is not there before Kubernetes 1.22; remove it, or set \
                          forceSharedMemorySizeSupport in the KubeDirectorConfig";
            findings.invalid(at.field("sharedMemory"), size.as_str(), detail);
        }
        self.account(findings, role, at.field("serviceAccountName"));
        self.urls(findings, role, &at.field("fileInjections"));
        self.claims(findings, role, &at.field("volumeProjections"));
    }

    fn autoscale(
        &self,
        findings: &mut Findings,
        autoscale: &Autoscale,
        app: &AppRole,
        at: &FieldPath,
    ) {
        let Some(demand) = &app.demand else {
            let detail = format!(
                "is for roles whose application says how to ask for demand, which it does not for \
                 {}; remove it, and give members",
                app.id
            );
            findings.forbidden(at.clone(), detail);
            return;
        };
        let Ok(cardinality) = app.cardinality.read() else {
            return;
        };
        if let Cardinality::Exactly(count) = cardinality {
            let detail = format!(
                "is for roles whose number of members may change, and {} has exactly {count}; \
                 remove it",
                app.id
            );
            findings.forbidden(at.clone(), detail);
            return;
        }
        let given = autoscale.min_members.and_then(|it| u32::try_from(it).ok());
        if let Some(given) = given.filter(|it| !cardinality.allows(*it)) {
            let detail = format!(
                "must be at least {}, as the application says for {}",
                cardinality.minimum(),
                app.id
            );
            findings.invalid(at.field("minMembers"), given, detail);
        }
        let least = given.unwrap_or_else(|| cardinality.minimum());
        let most = u32::try_from(autoscale.max_members).unwrap_or(0);
        if autoscale.min_members.is_none() && most < least {
            let detail = format!(
                "must be at least {least}, as the application says for {}",
                app.id
            );
            findings.invalid(at.field("maxMembers"), most, detail);
        }
        self.somebody_to_ask(findings, demand, &app.id, least, at);
    }

    /// Without a member of the role that is asked nobody would ever know.
    fn somebody_to_ask(
        &self,
        findings: &mut Findings,
        demand: &Demand,
        role: &str,
        least: u32,
        at: &FieldPath,
    ) {
        let asked = demand.asked(role);
        if asked == role {
            if least == 0 {
                let detail = "must be at least 1, because members of the role itself are asked for \
                              demand";
                findings.invalid(at.field("minMembers"), least, detail);
            }
            return;
        }
        let there = self.spec.role(asked);
        let nobody = there.is_none_or(|it| it.autoscale.is_none() && it.members == Some(0));
        if nobody {
            let detail = format!(
                "needs a member of {asked}, which is asked for demand, and there is none; give {asked} \
                 a member"
            );
            findings.forbidden(at.clone(), detail);
        }
    }

    fn class(&self, findings: &mut Findings, class: Option<&str>, at: &FieldPath) {
        let path = at.field("storageClassName");
        match class {
            None => {
                let detail = "must be given, because there is no default: neither \
                              defaultStorageClassName in the KubeDirectorConfig, nor a default \
                              StorageClass";
                findings.missing(path, detail);
            }
            Some(class) if !self.around.storage_classes.names.contains(class) => {
                let detail = "does not exist; name one of kubectl get storageclasses";
                findings.invalid(path, class, detail);
            }
            Some(_) => {}
        }
    }

    /// Volumes grow only where their class lets them.
    fn can_grow(&self, findings: &mut Findings, class: Option<&str>, path: FieldPath) {
        let classes = &self.around.storage_classes;
        let known = class.filter(|class| classes.names.contains(*class));
        if let Some(class) = known.filter(|class| !classes.expandable.contains(*class)) {
            let detail = format!(
                "cannot be, since the StorageClass {class} does not let volumes grow; set its \
                 allowVolumeExpansion if its provisioner can do that, or remove autoGrow"
            );
            findings.forbidden(path, detail);
        }
    }

    fn secret(&self, findings: &mut Findings, secret: Option<&SecretMount>, at: &FieldPath) {
        let Some(secret) = secret else {
            return;
        };
        let config = self.around.config.as_ref();
        let prefix = config.and_then(|it| it.required_secret_prefix.as_deref());
        let name = secret.name.as_str();
        let path = at.field("name");
        if let Some(prefix) = prefix.filter(|prefix| !name.starts_with(prefix)) {
            let detail = format!(
                "must begin with {prefix}, which the KubeDirectorConfig requires of Secrets that \
                 clusters use"
            );
            findings.invalid(path, name, detail);
        } else if !self.around.secrets.contains(name) {
            let detail = "is no Secret of this namespace; create it first";
            findings.invalid(path, name, detail);
        }
    }

    fn account(&self, findings: &mut Findings, role: &ClusterRole, path: FieldPath) {
        let Some(name) = role.service_account_name.as_deref() else {
            return;
        };
        if !self.around.service_accounts.contains(name) {
            let detail = "is no ServiceAccount of this namespace; create it first";
            findings.invalid(path, name, detail);
        } else if !self.allows(&Review::of_account(name)) {
            let detail = "is not yours to use: ask for the right to impersonate this \
                          ServiceAccount (the role edit has it)";
            findings.forbidden(path, detail);
        }
    }

    /// How many members mount a claim, in all roles.
    fn members_with(&self, claim: &str) -> i64 {
        let mounts = |role: &&ClusterRole| {
            let mut claims = role.volume_projections.iter();
            claims.any(|it| it.pvc_name == claim)
        };
        let roles = self.spec.roles.iter().filter(mounts);
        roles
            .filter_map(ClusterRole::most_members)
            .map(i64::from)
            .sum()
    }

    fn allows(&self, review: &Review) -> bool {
        let reviews = self.around.reviews.as_ref();
        reviews.is_none_or(|allowed| allowed.contains(review))
    }

    fn urls(&self, findings: &mut Findings, role: &ClusterRole, at: &FieldPath) {
        let Some(urls) = &self.around.urls else {
            return;
        };
        for (index, file) in role.file_injections.iter().enumerate() {
            let url = file.src_url.as_str();
            let why = match urls.get(url) {
                Some(Ok(())) => continue,
                Some(Err(why)) => why.as_str(),
                None => "nobody has asked for it",
            };
            let detail = format!("cannot be fetched: {why}; check the address");
            findings.invalid(at.index(index).field("srcURL"), url, detail);
        }
    }

    fn claims(&self, findings: &mut Findings, role: &ClusterRole, at: &FieldPath) {
        for (index, projection) in role.volume_projections.iter().enumerate() {
            let path = at.index(index).field("pvcName");
            let name = projection.pvc_name.as_str();
            let Some(claim) = self.around.claims.get(name) else {
                let detail = "is no PersistentVolumeClaim of this namespace; create it first";
                findings.invalid(path, name, detail);
                continue;
            };
            let review = Review::of_claim(name, projection.read_only);
            if !self.allows(&review) {
                let detail = format!(
                    "is not yours to use: ask for the right to {} this PersistentVolumeClaim",
                    review.verb
                );
                findings.forbidden(path, detail);
                continue;
            }
            let shared = claim.access_modes.iter().any(|mode| mode.is_shared());
            let written = claim
                .access_modes
                .iter()
                .any(|mode| *mode != AccessMode::ReadOnlyMany);
            if claim.volume_mode == VolumeMode::Block {
                let detail = "is a device, and only directories can be mounted; use a claim with \
                              volumeMode Filesystem";
                findings.invalid(path, name, detail);
            } else if self.members_with(name) > 1 && !shared {
                let detail = "can be mounted on one node alone, and more members than one would \
                              have it; use a claim with ReadWriteMany or ReadOnlyMany";
                findings.invalid(path, name, detail);
            } else if !projection.read_only && !written {
                let detail = "can only be read; set readOnly: true";
                findings.invalid(path, name, detail);
            }
        }
    }
}

fn check_members(findings: &mut Findings, role: &ClusterRole, app: &AppRole, at: &FieldPath) {
    let members = role.members.and_then(|it| u32::try_from(it).ok());
    let (Ok(cardinality), Some(members)) = (app.cardinality.read(), members) else {
        return;
    };
    if cardinality.allows(members) {
        return;
    }
    let allowed = match cardinality {
        Cardinality::Exactly(count) => format!("exactly {count}"),
        Cardinality::AtLeast(count) => format!("at least {count}"),
    };
    let detail = format!("must be {allowed}, as the application says for {}", role.id);
    findings.invalid(at.field("members"), members, detail);
}

/// A resource that is not requested is given as far as its limit, since that is what Kubernetes
/// requests then, and what members are told they have.
fn check_resources(findings: &mut Findings, role: &ClusterRole, app: &AppRole, at: &FieldPath) {
    let at = at.field("resources");
    for (name, least) in &app.min_resources {
        let Ok(least) = least.quantity() else {
            continue;
        };
        let request = role.resources.requests.get(name);
        let (path, given) = match (request, role.resources.limits.get(name)) {
            (Some(request), _) => (at.field("requests").key(name), Some(request)),
            (None, limit) => (at.field("limits").key(name), limit),
        };
        if least <= Quantity::ZERO {
            continue;
        }
        match given.map(|it| (it, it.quantity())) {
            None => {
                let detail =
                    format!("must be given, and at least {least}, as the application says");
                findings.missing(path, detail);
            }
            Some((given, Ok(amount))) if amount < least => {
                let detail = format!("must be at least {least}, as the application says");
                findings.invalid(path, given.as_str(), detail);
            }
            Some(_) => {}
        }
    }
}

fn check_storage(findings: &mut Findings, role: &ClusterRole, app: &AppRole, at: &FieldPath) {
    let Some(least) = &app.min_storage else {
        return;
    };
    let path = at.field("storage").field("size");
    match (&role.storage, least.size.parse::<Quantity>()) {
        (None, _) if !least.ephemeral_mode_supported => {
            let detail = format!(
                "must be given, and at least {}, as the application says",
                least.size
            );
            findings.missing(path, detail);
        }
        (Some(storage), Ok(least))
            if storage
                .size
                .parse()
                .is_ok_and(|size: Quantity| size < least) =>
        {
            let detail = format!("must be at least {least}, as the application says");
            findings.invalid(path, storage.size.as_str(), detail);
        }
        _ => {}
    }
}

/// A claim may be mounted inside of a directory that is kept, but not over it.
fn check_persistent(findings: &mut Findings, role: &ClusterRole, app: &AppRole, at: &FieldPath) {
    if role.storage.is_none() {
        return;
    }
    let directories = app.persist_dirs.iter().flatten();
    for (index, projection) in role.volume_projections.iter().enumerate() {
        let mount = projection.mount_path.as_str();
        let hidden = directories
            .clone()
            .find(|directory| is_at_or_below(directory, mount));
        if let Some(hidden) = hidden {
            let path = at.field("volumeProjections").index(index);
            let detail = format!(
                "would hide {hidden}, which the application keeps on storage; choose another path"
            );
            findings.invalid(path.field("mountPath"), mount, detail);
        }
    }
}
