//! `windlass list`: the applications there are.

use kube::Api;
use kube::api::{DynamicObject, ListParams};

use crate::applications::{Place, Scope, show};
use crate::args::{ListArgs, Show};
use crate::exit::{Exit, Failure};
use crate::output::talk;
use crate::run::follow::application_resource;
use crate::run::preflight::api_failure;

/// Lists applications.
pub async fn list(args: ListArgs) -> Result<Exit, Failure> {
    let place = Place::open(&args.place).await?;
    let (api, scope): (Api<DynamicObject>, Scope) = if args.all_namespaces {
        let all = Api::all_with(place.client.clone(), &application_resource());
        (all, Scope::AllNamespaces)
    } else {
        (place.applications(), Scope::Namespace)
    };
    let mut params = ListParams::default();
    if let Some(selector) = &args.selector {
        params = params.labels(selector);
    }
    let found = api.list(&params).await.map_err(api_failure)?.items;
    if found.is_empty() && matches!(args.output, Show::Table | Show::Wide) {
        talk(&match scope {
            Scope::AllNamespaces => "no applications".to_owned(),
            _ => format!("no applications in namespace {}", place.namespace),
        });
        return Ok(Exit::Completed);
    }
    if found.is_empty() && args.output == Show::Name {
        return Ok(Exit::Completed);
    }
    show(&found, args.output, scope)
}
