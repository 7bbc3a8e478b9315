//! What the container runs: the image's entry point with Spark's arguments.

use super::super::SubmitError;
use super::super::client::{is_client_local, require_files, resolve_uri};
use super::super::request::MainResource;
use super::{Context, Draft};

/// Stands for a resource that is already where the driver looks for it.
const NO_RESOURCE: &str = "spark-internal";

pub(super) fn apply(context: &Context<'_>, draft: &mut Draft<'_>) -> Result<(), SubmitError> {
    let request = context.request;
    let current_dir = request.client.files.current_dir();
    let (kind, class, resource) = match &request.main {
        MainResource::Java { jar, class } => {
            let jar = jar.as_deref().unwrap_or(NO_RESOURCE);
            let resource = if is_client_local(jar) {
                NO_RESOURCE
            } else {
                jar
            };
            ("java", class.as_str(), resource.to_owned())
        }
        MainResource::Python { file } => (
            "python",
            "org.apache.spark.deploy.PythonRunner",
            uploaded(draft, file, &current_dir)?,
        ),
        // Unlike Python's, R's file is not uploaded: Spark passes its URI on.
        MainResource::R { file } => {
            if is_client_local(file) {
                require_files(&request.client, "main resource", file)?;
            }
            (
                "r",
                "org.apache.spark.deploy.RRunner",
                resolve_uri(file, &current_dir),
            )
        }
    };

    draft.pod.add_args(["driver"]);
    if let Some(user) = &request.proxy_user {
        draft.pod.add_args(["--proxy-user", user]);
    }
    draft
        .pod
        .add_args(["--properties-file", "/opt/spark/conf/spark.properties"]);
    draft.pod.add_args(["--class", class, &resource]);
    draft.pod.add_args(request.args.iter().cloned());

    if let MainResource::Python { .. } = request.main {
        python_variables(context, draft)?;
    }
    draft
        .added
        .insert("spark.kubernetes.resource.type".to_owned(), kind.to_owned());
    Ok(())
}

fn uploaded(draft: &mut Draft<'_>, file: &str, current_dir: &str) -> Result<String, SubmitError> {
    if is_client_local(file) {
        draft
            .uploads
            .add("main resource", &resolve_uri(file, current_dir))
    } else {
        Ok(file.to_owned())
    }
}

/// The settings win over the client's environment, and the driver takes the executors' Python
/// when it has none of its own.
fn python_variables(context: &Context<'_>, draft: &mut Draft<'_>) -> Result<(), SubmitError> {
    let env = |name: &str| context.request.client.env.get(name).cloned();
    let workers = context.settings.text("spark.pyspark.python")?;
    let driver = context
        .settings
        .text("spark.pyspark.driver.python")?
        .or_else(|| workers.clone())
        .or_else(|| env("PYSPARK_DRIVER_PYTHON"))
        .or_else(|| env("PYSPARK_PYTHON"));
    if let Some(python) = workers.or_else(|| env("PYSPARK_PYTHON")) {
        draft.pod.add_env("PYSPARK_PYTHON", &python);
    }
    if let Some(python) = driver {
        draft.pod.add_env("PYSPARK_DRIVER_PYTHON", &python);
    }
    Ok(())
}
