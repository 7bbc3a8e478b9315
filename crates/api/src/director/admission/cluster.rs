//! A cluster as it is asked for.

use std::borrow::Cow;
use std::mem;

use super::changes;
use super::defaults;
use super::kept::Kept;
use super::roles;
use super::surroundings::{Surroundings, needs};
use super::{ALLOW_DELETE_WHILE_RESTORING, IDENTITY, RESTORING, STATUS_BACKUP_EXISTS};
use crate::director::app;
use crate::director::cluster::{ClusterSpec, KubeDirectorCluster, NamingScheme, validate};
use crate::director::findings::Findings;
use crate::director::secret::Hidden;
use crate::field::{FieldError, FieldPath};

/// What is done with a cluster.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// It is new.
    Create,
    /// It takes the place of this one.
    Update(&'a KubeDirectorCluster),
    /// It is there, and a controller looks at it, which has made objects of it that keep this.
    Stored(&'a Kept),
}

/// A cluster that may be, with its defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaulted {
    cluster: KubeDirectorCluster,
    texts: Vec<SecretText>,
}

/// A secret text that is not to be stored as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretText {
    /// The role.
    pub role: String,
    /// The name of the key.
    pub name: String,
    /// The text.
    pub text: Hidden,
}

impl Defaulted {
    /// The secret texts that are to be encrypted.
    pub fn texts(&self) -> &[SecretText] {
        &self.texts
    }

    /// The cluster as it is stored, with its secret texts encrypted. Role and name are there for
    /// whoever binds what is encrypted to its place.
    ///
    /// # Errors
    /// The first error of `encrypt`.
    pub fn seal<E>(
        self,
        mut encrypt: impl FnMut(&SecretText) -> Result<String, E>,
    ) -> Result<KubeDirectorCluster, E> {
        let Self { mut cluster, texts } = self;
        for text in &texts {
            let encrypted = encrypt(text)?;
            let roles = cluster.spec.roles.iter_mut();
            let keys = roles
                .filter(|role| role.id == text.role)
                .flat_map(|role| &mut role.secret_keys);
            for key in keys.filter(|key| key.name == text.name) {
                key.encrypted_value.clone_from(&encrypted);
            }
        }
        Ok(cluster)
    }

    /// The cluster without its secret texts, and those; for who does not store them.
    pub fn into_parts(self) -> (KubeDirectorCluster, Vec<SecretText>) {
        (self.cluster, self.texts)
    }
}

/// The cluster with its defaults, if it may be.
///
/// # Errors
/// Everything that is in the way.
pub fn admit(
    request: Request<'_>,
    cluster: &KubeDirectorCluster,
    around: &Surroundings,
) -> Result<Defaulted, Vec<FieldError>> {
    let old = match request {
        Request::Update(old) => Some(old),
        Request::Create | Request::Stored(_) => None,
    };
    let kept = match request {
        Request::Stored(kept) => kept.before(cluster),
        Request::Create | Request::Update(_) => None,
    };
    if let Some(old) = old {
        let restoring = has_label(old, RESTORING);
        let leaves = restoring && !has_label(cluster, RESTORING);
        if old.spec == cluster.spec && !leaves {
            return Ok(as_it_is(cluster.clone()));
        }
        if restoring && old.spec != cluster.spec {
            let detail = format!(
                "cannot change while the cluster is being restored; wait, or remove the label \
                 {RESTORING}"
            );
            return Err(vec![FieldError::forbidden(FieldPath::new("spec"), detail)]);
        }
    }
    if matches!(request, Request::Create) && comes_back(cluster) {
        return admit_restored(cluster, around);
    }

    let before = old.or(kept.as_ref());
    let mut cluster = Cow::Borrowed(cluster);
    // An application of the same name elsewhere is another one.
    let catalog = before.and_then(|it| it.spec.app_catalog);
    if cluster.spec.app_catalog.is_none() && catalog.is_some() {
        cluster.to_mut().spec.app_catalog = catalog;
    }
    let cluster = cluster.as_ref();
    let Some((catalog, app)) = around.app(cluster) else {
        // Who wants another application than before is told that first.
        let changed = before.map(|before| changes::of_application(before, cluster));
        let changed = changed.filter(|errors| !errors.is_empty());
        return Err(changed.unwrap_or_else(|| vec![unknown_app(cluster)]));
    };
    let of_app = app::validate(app);
    if !of_app.is_empty() {
        let path = FieldPath::new("spec").field("app");
        let told = of_app.iter().map(|error| {
            let detail = format!("is a KubeDirectorApp that cannot be used: its {error}");
            FieldError::invalid(path.clone(), cluster.spec.app.as_str(), detail)
        });
        return Err(told.collect());
    }
    let app = app::fold(&app.spec);
    let mut defaulted = defaults::with_defaults(before, cluster, catalog, &app, around);
    let mut findings = Findings::default();
    findings.extend(validate(&defaulted));
    roles::check(&mut findings, &defaulted.spec, &app, around);
    check_encrypted(&mut findings, request, cluster);
    if let Some(before) = before {
        let changed = changes::check(before, &defaulted, &around.storage_classes);
        if !changed.is_empty() {
            return Err(changed);
        }
    }
    findings.extend(old.and_then(changes::check_processed));
    let errors = findings.into_errors();
    if !errors.is_empty() {
        return Err(errors);
    }
    let texts = take_texts(&mut defaulted.spec);
    Ok(Defaulted {
        cluster: defaulted,
        texts,
    })
}

/// Whether a cluster may be deleted.
///
/// # Errors
/// When KubeDirector restores it from a backup, and its user has not said that it may go all the same.
pub fn delete_cluster(cluster: &KubeDirectorCluster) -> Result<(), Vec<FieldError>> {
    if !has_label(cluster, RESTORING) || has_label(cluster, ALLOW_DELETE_WHILE_RESTORING) {
        return Ok(());
    }
    let path = FieldPath::new("metadata").field("labels").key(RESTORING);
    let detail = format!(
        "says that the cluster is being restored, so it cannot be deleted; set the label \
         {ALLOW_DELETE_WHILE_RESTORING} to delete it all the same"
    );
    Err(vec![FieldError::forbidden(path, detail)])
}

fn has_label(cluster: &KubeDirectorCluster, label: &str) -> bool {
    let labels = cluster.metadata.labels.as_ref();
    labels.is_some_and(|labels| labels.contains_key(label))
}

/// Whether a backup puts the cluster back. What it needs may come later, so only what follows from
/// itself is asked; the controller asks for the rest.
fn comes_back(cluster: &KubeDirectorCluster) -> bool {
    let annotation = |name: &str| cluster.metadata.annotations.as_ref()?.get(name);
    annotation(STATUS_BACKUP_EXISTS).is_some_and(|it| it == "true")
        || annotation(IDENTITY).is_some()
}

/// Whoever restores must have the rights of whoever creates: an annotation is easily written.
fn admit_restored(
    cluster: &KubeDirectorCluster,
    around: &Surroundings,
) -> Result<Defaulted, Vec<FieldError>> {
    let mut errors = validate(cluster);
    if let Some(allowed) = &around.reviews {
        let missing = needs(cluster).reviews;
        let missing = missing.into_iter().filter(|it| !allowed.contains(it));
        errors.extend(missing.map(|review| {
            let detail = format!(
                "uses the {} {}, which is not yours to use: ask for the right to {} it",
                review.resource, review.name, review.verb
            );
            FieldError::forbidden(FieldPath::new("spec").field("roles"), detail)
        }));
    }
    if errors.is_empty() {
        Ok(as_it_is(cluster.clone()))
    } else {
        Err(errors)
    }
}

fn as_it_is(mut cluster: KubeDirectorCluster) -> Defaulted {
    let texts = take_texts(&mut cluster.spec);
    Defaulted { cluster, texts }
}

fn unknown_app(cluster: &KubeDirectorCluster) -> FieldError {
    let place = match cluster.spec.app_catalog {
        Some(catalog) => format!("in the {} catalog", catalog.as_str()),
        None => "in this namespace, nor in that of the operator".to_owned(),
    };
    let detail = format!("is no KubeDirectorApp {place}; create it first, or check the name");
    FieldError::invalid(
        FieldPath::new("spec").field("app"),
        cluster.spec.app.as_str(),
        detail,
    )
}

/// An encrypted text that was not made here would be that of somebody else.
fn check_encrypted(findings: &mut Findings, request: Request<'_>, cluster: &KubeDirectorCluster) {
    let old = match request {
        Request::Stored(_) => return,
        Request::Create => None,
        Request::Update(old) => Some(&old.spec),
    };
    let at = FieldPath::new("spec").field("roles");
    for (index, role) in cluster.spec.roles.iter().enumerate() {
        let at = at.index(index).field("secretKeys");
        let before = old.and_then(|old| old.role(&role.id));
        for (index, key) in role.secret_keys.iter().enumerate() {
            let mut before = before.into_iter().flat_map(|role| &role.secret_keys);
            let known =
                before.any(|it| it.name == key.name && it.encrypted_value == key.encrypted_value);
            if key.value.is_empty() && !key.encrypted_value.is_empty() && !known {
                let detail = "cannot be given; give value, which is encrypted before it is stored";
                findings.forbidden(at.index(index).field("encryptedValue"), detail);
            }
        }
    }
}

/// Takes what is not encrypted yet. An empty text is one, too.
fn take_texts(spec: &mut ClusterSpec) -> Vec<SecretText> {
    let mut texts = Vec::new();
    for role in &mut spec.roles {
        for key in &mut role.secret_keys {
            if key.value.is_empty() && !key.encrypted_value.is_empty() {
                continue;
            }
            key.encrypted_value.clear();
            texts.push(SecretText {
                role: role.id.clone(),
                name: key.name.clone(),
                text: mem::take(&mut key.value),
            });
        }
    }
    texts
}

/// The naming of a cluster whose defaults nobody has stored.
pub(super) fn naming(spec: &ClusterSpec) -> NamingScheme {
    spec.naming_scheme.unwrap_or_default()
}
