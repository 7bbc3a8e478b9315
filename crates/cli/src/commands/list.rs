//! `windlass list`: the applications, schedules, servers or virtual clusters there are.

use kube::Api;
use kube::api::{DynamicObject, ListParams};

use crate::applications::Place;
use crate::args::{ListArgs, Show};
use crate::exit::{Exit, Failure};
use crate::kinds::Kind;
use crate::output::talk;
use crate::run::preflight::api_failure;
use crate::shown::{Found, Scope, show};

/// Lists the objects of one kind.
pub async fn list(args: ListArgs) -> Result<Exit, Failure> {
    let place = Place::open(&args.place).await?;
    let kind = args.kind();
    let (api, scope): (Api<DynamicObject>, Scope) = if args.all_namespaces {
        let everywhere = Api::all_with(place.client.clone(), &kind.resource());
        (everywhere, Scope::AllNamespaces)
    } else {
        (place.api(kind), Scope::Namespace)
    };
    let mut params = ListParams::default();
    if let Some(selector) = &args.selector {
        params = params.labels(selector);
    }
    let found = match api.list(&params).await {
        Ok(found) => found.items,
        Err(kube::Error::Api(status)) if status.code == 404 && kind == Kind::Cluster => {
            return Err(Failure::bad_input(
                "this cluster serves no virtual clusters: windlass up --virtual-clusters does, and what \
                 windlass install --virtual-clusters prints",
            ));
        }
        Err(kube::Error::Api(status)) if status.code == 404 && kind == Kind::History => {
            return Err(Failure::bad_input(
                "this cluster serves no SparkHistoryServer: apply what windlass install prints",
            ));
        }
        Err(error) => return Err(api_failure(error)),
    };
    if found.is_empty() && matches!(args.output, Show::Table | Show::Wide) {
        let what = kind.nouns();
        talk(&match scope {
            Scope::AllNamespaces => format!("no {what}"),
            _ => format!("no {what} in namespace {}", place.namespace),
        });
        return Ok(Exit::Completed);
    }
    if found.is_empty() && args.output == Show::Name {
        return Ok(Exit::Completed);
    }
    let found: Vec<Found> = found
        .into_iter()
        .map(|object| Found { kind, object })
        .collect();
    show(&found, args.output, scope)
}
