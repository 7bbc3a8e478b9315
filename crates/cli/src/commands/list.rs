//! `windlass list`: the applications, or the schedules, there are.

use kube::Api;
use kube::api::{DynamicObject, ListParams};

use crate::applications::{Place, Scope, show};
use crate::args::{ListArgs, Show};
use crate::exit::{Exit, Failure};
use crate::output::talk;
use crate::run::follow::application_resource;
use crate::run::preflight::api_failure;
use crate::schedules;

/// Lists applications.
pub async fn list(args: ListArgs) -> Result<Exit, Failure> {
    let place = Place::open(&args.place).await?;
    let (resource, what) = if args.schedules {
        (schedules::resource(), "schedules")
    } else {
        (application_resource(), "applications")
    };
    let client = place.client.clone();
    let (api, scope): (Api<DynamicObject>, Scope) = if args.all_namespaces {
        (Api::all_with(client, &resource), Scope::AllNamespaces)
    } else {
        let of_place = Api::namespaced_with(client, &place.namespace, &resource);
        (of_place, Scope::Namespace)
    };
    let mut params = ListParams::default();
    if let Some(selector) = &args.selector {
        params = params.labels(selector);
    }
    let found = api.list(&params).await.map_err(api_failure)?.items;
    if found.is_empty() && matches!(args.output, Show::Table | Show::Wide) {
        talk(&match scope {
            Scope::AllNamespaces => format!("no {what}"),
            _ => format!("no {what} in namespace {}", place.namespace),
        });
        return Ok(Exit::Completed);
    }
    if found.is_empty() && args.output == Show::Name {
        return Ok(Exit::Completed);
    }
    if args.schedules {
        return schedules::show(found, args.output, scope);
    }
    show(&found, args.output, scope)
}
