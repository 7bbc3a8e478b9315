//! `windlass tenant create`: a namespace for a team, apart from those of the others.

mod objects;

#[cfg(test)]
mod tests;

use self::objects::objects;
use crate::args::{TenantArgs, TenantCommand};
use crate::connect::{Connection, Start};
use crate::exit::{Exit, Failure};
use crate::output::{self, talk};
use crate::run::apply_object;

/// The manager of the fields that the command applies.
const MANAGER: &str = "windlass-tenant";

/// Does what the command says.
pub async fn tenant(command: TenantCommand) -> Result<Exit, Failure> {
    match command {
        TenantCommand::Create(args) => create(&args).await,
    }
}

async fn create(args: &TenantArgs) -> Result<Exit, Failure> {
    let objects = objects(args)?;
    if !args.apply {
        if args.cluster.context.is_some() || args.cluster.kubeconfig.is_some() {
            talk("note: nothing is applied without --apply");
        }
        let documents =
            windlass_api::parse::to_yaml_documents(&objects).map_err(Failure::internal)?;
        return output::data(documents.trim_end());
    }
    let connection = Connection::open(&args.cluster, Start::Never).await?;
    for object in objects {
        let applied =
            apply_object(connection.client(), object, args.name.as_str(), MANAGER).await?;
        output::out(&applied);
    }
    Ok(Exit::Completed)
}
