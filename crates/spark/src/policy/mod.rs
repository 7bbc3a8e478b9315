//! What is decided about Spark jobs by whoever keeps their namespace, or the operator: defaults,
//! enforced fields, names for images, and what is allowed at all.
//!
//! A [`Layer`] is one SparkPolicy and where it stands; the [`Policies`] of a namespace are those of
//! the operator (`--policy`) and those of the namespace itself. [`Policies::apply`] makes the
//! specification that is submitted from the one that a user wrote.
//!
//! # Laws
//! - Pure and total, and the same once more: applied to its own result nothing changes, and what was
//!   allowed is allowed.
//! - **The nearer default, the farther order.** A default of the namespace goes before one of the
//!   operator; an enforced field of the operator goes before one of the namespace.
//! - **Lists only tighten.** What one policy does not allow is not allowed, whatever others say; and
//!   they judge what comes out, names for images resolved, defaults and enforced fields included.
//! - **A broken policy lets nothing pass**, and says which field is wrong. What runs goes on.
//! - Values never stand in what is told, only fields: settings may hold what is no one's business.

mod layers;
mod lists;
mod merge;

#[cfg(test)]
mod tests;

use serde_json::Value;
use windlass_api::field::{FieldError, FieldPath};
use windlass_api::spark::policy::ImageAlias;
use windlass_api::spark::scheduled::template;
use windlass_api::spark::{ScheduledSparkApplication, SparkApplication};

pub use self::layers::{Layer, Policies, Read, of_objects, read_file};

/// What becomes of a specification.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The specification that counts.
    pub spec: Value,
    /// The user's fields that hold otherwise than written, one line each.
    pub replaced: Vec<String>,
    /// Why it may not be submitted.
    pub refusals: Vec<FieldError>,
}

impl Policies {
    /// Applies the policies to the specification of a SparkApplication. `account` is the
    /// ServiceAccount of drivers that name none.
    pub fn apply(&self, given: &Value, account: Option<&str>) -> Applied {
        let mut spec = given.clone();
        // The nearest first, which leaves less to the others.
        for layer in self.layers().iter().rev() {
            if let Some(defaults) = &layer.spec.defaults {
                merge::fill(&mut spec, defaults);
            }
        }
        // The farthest last, which has the last word.
        for layer in self.layers().iter().rev() {
            if let Some(enforced) = &layer.spec.enforced {
                merge::force(&mut spec, enforced);
            }
        }
        let replaced = self.replaced(given, &spec);
        let mut refusals = self.resolve_images(&mut spec);
        refusals.extend(lists::settings(self, given, &spec));
        refusals.extend(lists::images(self, &spec));
        refusals.extend(lists::accounts(self, &spec, account));
        Applied {
            spec,
            replaced,
            refusals,
        }
    }

    /// Applies the policies to an application.
    pub fn apply_to(
        &self,
        application: &SparkApplication,
        account: Option<&str>,
    ) -> Result<(SparkApplication, Vec<String>), Vec<FieldError>> {
        if self.is_empty() {
            return Ok((application.clone(), Vec::new()));
        }
        let unreadable = |error: serde_json::Error| {
            vec![FieldError::forbidden(
                FieldPath::new("spec"),
                error.to_string(),
            )]
        };
        let given = serde_json::to_value(&application.spec).map_err(unreadable)?;
        let applied = self.apply(&given, account);
        if !applied.refusals.is_empty() {
            return Err(applied.refusals);
        }
        let effective = SparkApplication {
            metadata: application.metadata.clone(),
            spec: serde_json::from_value(applied.spec).map_err(unreadable)?,
            status: application.status.clone(),
        };
        Ok((effective, applied.replaced))
    }

    /// Applies the policies to the template of a schedule, or says why its runs would be refused.
    pub fn apply_to_schedule(
        &self,
        schedule: &ScheduledSparkApplication,
        account: Option<&str>,
    ) -> Result<ScheduledSparkApplication, Vec<String>> {
        if !self.broken().is_empty() {
            return Err(self.broken().to_vec());
        }
        let run = template(schedule, String::new());
        let (run, _) = self.apply_to(&run, account).map_err(|refusals| {
            let within = FieldPath::new("spec").field("template");
            let moved = refusals.into_iter().map(|error| {
                let inner = error.path.as_str().strip_prefix("spec").unwrap_or_default();
                let path = within.join(inner.trim_start_matches('.'));
                FieldError { path, ..error }.to_string()
            });
            moved.collect::<Vec<String>>()
        })?;
        let mut schedule = schedule.clone();
        schedule.spec.template = run.spec;
        Ok(schedule)
    }

    /// What the user wrote and somebody else decided otherwise, each with who.
    fn replaced(&self, given: &Value, spec: &Value) -> Vec<String> {
        let mut told: Vec<String> = Vec::new();
        let mut fields: Vec<String> = Vec::new();
        // The one that has the last word first.
        for layer in self.layers() {
            let enforced = layer.spec.enforced.as_ref();
            for leaf in enforced.map(merge::leaves).unwrap_or_default() {
                let wrote = merge::at(given, &leaf).filter(|it| !it.is_null());
                let holds = merge::at(spec, &leaf);
                let field = merge::path_of(&leaf).to_string();
                if wrote.is_some() && wrote != holds && !fields.contains(&field) {
                    told.push(format!("{field} is decided by {}", layer.source));
                    fields.push(field);
                }
            }
        }
        told
    }

    /// Puts images and versions in the place of the names for them.
    fn resolve_images(&self, spec: &mut Value) -> Vec<FieldError> {
        let mut refusals = Vec::new();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let version = text(&spec["sparkVersion"]).unwrap_or_default();
        let by_name = |name: &str| self.aliases().find(|alias| alias.name == name);
        let fits = |alias: &ImageAlias| {
            version == alias.name || is_version(&version, &alias.spark_version)
        };
        let image = text(&spec["image"]).filter(|it| !it.is_empty());
        let alias = match &image {
            // Also where the image itself is written, the version may be.
            Some(image) => by_name(image).or_else(|| {
                let mut aliases = self.aliases();
                aliases.find(|alias| alias.image == *image && fits(alias))
            }),
            None => by_name(&version).or_else(|| self.aliases().find(|alias| fits(alias))),
        };
        match alias {
            Some(alias) if fits(alias) => {
                spec["image"] = Value::String(alias.image.clone());
                spec["sparkVersion"] = Value::String(alias.spark_version.clone());
            }
            Some(alias) => refusals.push(FieldError::invalid(
                FieldPath::new("spec").field("sparkVersion"),
                version.as_str(),
                format!(
                    "is not the Spark of the image {}; write {}, or {} here, too",
                    alias.name, alias.spark_version, alias.name
                ),
            )),
            // The image is one of its own, and only the version has the name.
            None => {
                if let Some(alias) = by_name(&version) {
                    spec["sparkVersion"] = Value::String(alias.spark_version.clone());
                }
            }
        }
        for role in ["driver", "executor"] {
            let name = text(&spec[role]["image"]).unwrap_or_default();
            let Some(alias) = by_name(&name) else {
                continue;
            };
            let version = spec["sparkVersion"].as_str().unwrap_or_default();
            if is_version(version, &alias.spark_version) {
                spec[role]["image"] = Value::String(alias.image.clone());
            } else {
                refusals.push(FieldError::invalid(
                    FieldPath::new("spec").field(role).field("image"),
                    name,
                    format!(
                        "is the Spark {}, and spec.sparkVersion is another one; use an image of \
                         the same version",
                        alias.spark_version
                    ),
                ));
            }
        }
        refusals
    }
}

/// Whether a version, perhaps without its last number, is this one.
fn is_version(given: &str, version: &str) -> bool {
    !given.is_empty()
        && version
            .strip_prefix(given)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
