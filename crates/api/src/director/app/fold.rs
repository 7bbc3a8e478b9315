//! The defaults of an application, put where they hold.

use std::mem;

use super::AppSpec;
use crate::director::inherit::Inheritable;

/// Bytes of a failed script's output that the status shows when nothing is said.
pub const DEFAULT_MAX_LOG_SIZE_DUMP: i32 = 256;

/// The application with all its defaults in its roles, and none left.
///
/// A role without a setup package says so by null, as KubeDirector stores it. Folding again changes
/// nothing.
pub fn fold(spec: &AppSpec) -> AppSpec {
    let mut folded = spec.clone();
    let image = folded.default_image_repo_tag.take();
    let package = mem::take(&mut folded.default_config_package);
    let directories = folded.default_persist_dirs.take();
    let events = folded.default_event_list.take();
    let dump = folded.default_max_log_size_dump.take();
    let drain = mem::take(&mut folded.default_drain);
    for role in &mut folded.roles {
        role.image_repo_tag = role.image_repo_tag.take().or_else(|| image.clone());
        let own = mem::take(&mut role.config_package).or(package.clone());
        role.config_package = own.or(Inheritable::Nothing);
        role.persist_dirs = role.persist_dirs.take().or_else(|| directories.clone());
        role.event_list = role.event_list.take().or_else(|| events.clone());
        let own = role.max_log_size_dump.or(dump);
        role.max_log_size_dump = Some(own.unwrap_or(DEFAULT_MAX_LOG_SIZE_DUMP));
        role.drain = mem::take(&mut role.drain).or(drain.clone());
    }
    for endpoint in folded
        .services
        .iter_mut()
        .filter_map(|it| it.endpoint.as_mut())
    {
        endpoint.has_auth_token |= mem::take(&mut endpoint.auth_token);
    }
    folded
}
