//! From a SparkApplication to what is submitted for one attempt of it.
//!
//! Flow: typed fields become Spark settings and pod templates, [`submission::build`] makes what
//! Spark's own `spark-submit` would make of them, and what Spark has no setting for is applied to
//! the finished driver pod and, for executors, to the template the driver makes them from.
//! Operator labels and the owner come last, as a layer of their own.
//!
//! Laws:
//! - pure: the same application and attempt give the same objects, byte for byte;
//! - typed fields beat `sparkConf`;
//! - every field of the API has a row in one of three tables ([`application`], [`driver`],
//!   [`executor`]), and what cannot be honoured is told as [`NotApplied`], never dropped silently;
//! - values of Secrets are in no object: they reach the driver as environment variables, and the
//!   driver's settings as `$(VARIABLE)` in its arguments, which the node expands.

mod application;
mod checkpoint;
mod common;
mod driver;
mod editor;
mod executor;
mod exposure;
mod group;
pub(crate) mod history;
mod identity;
mod monitoring;
mod protect;
mod role;
mod route;
mod secrets;
pub(crate) mod server;
mod template;
mod volumes;

use serde_json::Value;
use windlass_api::{
    field::FieldError,
    spark::{
        SparkApplication,
        application::{Attempt, PodPieces, Resolved, validate},
    },
};

pub(crate) use self::role::{HADOOP_CONF_DIR, SPARK_CONF_DIR};
pub use self::{
    exposure::{
        Exposed, Exposing, GatewayRef, GatewayRefError, IngressSettings, Offer, PodMonitors,
        Routes, expose, is_web_page,
    },
    group::pod_group_ref,
    identity::{ATTEMPT_LABEL, driver_pod_name, submit_ids},
    protect::{disruption_budget, has_budget},
    server::IpFamily,
};
use self::{
    monitoring::Monitoring,
    role::{Kind, Role},
    route::ConfBuilder,
};
use crate::eventlogs::LocalEventLogs;
use crate::resources::Demand;
use crate::submission::{
    self, Client, Conf, Profile, SparkVersion, Submission, SubmitError, SubmitRequest,
};

/// What the operator adds to every application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The URL of the Kubernetes API as the driver reaches it.
    pub master: String,
    /// The ServiceAccount of drivers that name none.
    pub driver_service_account: Option<String>,
    /// The user that Spark runs as, unless the application says otherwise.
    pub user: String,
    /// Whether drivers are protected from evictions, unless the application says otherwise.
    pub protect_drivers: bool,
    /// Whether the cluster serves PodDisruptionBudgets of `policy/v1`: Kubernetes does since 1.21.
    /// Where not, drivers have their annotations and no budget.
    pub serves_budgets: bool,
    /// Whether the operator looks after ObjectStores, so that applications may name some.
    pub serves_object_stores: bool,
    /// Where the event logs of applications go that say nothing about theirs.
    pub event_logs: Option<LocalEventLogs>,
    /// How drivers are reached from outside.
    pub exposing: Exposing,
    /// The family of pods' addresses, unless a server's settings say otherwise.
    pub pod_addresses: IpFamily,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            master: "https://kubernetes.default.svc".to_owned(),
            driver_service_account: None,
            user: "spark".to_owned(),
            protect_drivers: true,
            serves_budgets: true,
            serves_object_stores: false,
            event_logs: None,
            exposing: Exposing::default(),
            pod_addresses: IpFamily::default(),
        }
    }
}

/// What is submitted for one attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Lowered {
    /// The driver, complete with labels and owner, and the objects beside it.
    pub submission: Submission,
    /// Fields that have no effect, each with the reason.
    pub not_applied: Vec<NotApplied>,
    /// Settings that hold a secret which everybody reads, one line each.
    pub exposed: Vec<String>,
    /// What the driver and its executors ask of the cluster.
    pub demand: Demand,
    /// The group that has to be there before the driver, for a scheduler that knows any.
    pub pod_group: Option<Value>,
    /// The claim for its checkpoints, which has to be there before the driver, too.
    pub checkpoint_claim: Option<Value>,
}

/// A field that is set and has no effect.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotApplied {
    /// The path of the field.
    pub field: String,
    /// Why it has none, and what to do instead.
    pub reason: String,
}

impl std::fmt::Display for NotApplied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

/// Why an application cannot be submitted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LowerError {
    /// Fields of the application are wrong.
    #[error("{}", lines(.0))]
    Invalid(Vec<FieldError>),
    /// Spark would refuse the settings.
    #[error(transparent)]
    Refused(#[from] SubmitError),
}

impl LowerError {
    /// One line per problem.
    pub fn problems(&self) -> Vec<String> {
        match self {
            Self::Invalid(errors) => errors.iter().map(ToString::to_string).collect(),
            Self::Refused(error) => vec![error.to_string()],
        }
    }
}

fn lines(errors: &[FieldError]) -> String {
    errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Everything that is known before the first setting is made.
struct Context<'a> {
    app: &'a SparkApplication,
    pieces: &'a PodPieces,
    resolved: Resolved,
    version: SparkVersion,
    settings: &'a Settings,
    monitoring: Monitoring,
    attempt: &'a Attempt,
    product: Product,
}

/// What an application is lowered to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Product {
    /// One run of it: a driver that ends.
    Run,
    /// A Spark Connect server, whose pod a Deployment starts again and again.
    Server,
    /// A history server, likewise, which has no executors and asks no Kubernetes.
    HistoryServer,
}

impl Context<'_> {
    fn name(&self) -> &str {
        self.app.metadata.name.as_deref().unwrap_or_default()
    }

    fn namespace(&self) -> &str {
        self.app.metadata.namespace.as_deref().unwrap_or("default")
    }

    /// Whether the application runs at least this version of Spark.
    fn is_at_least(&self, major: u32, minor: u32) -> bool {
        (self.version.major, self.version.minor) >= (major, minor)
    }
}

/// Makes what is submitted for this attempt of the application.
pub fn lower(
    app: &SparkApplication,
    attempt: &Attempt,
    settings: &Settings,
) -> Result<Lowered, LowerError> {
    lower_to(Product::Run, app, attempt, settings)
}

/// Makes the pod of a Spark Connect server, in the form of a driver pod that a Deployment's
/// template can be made of, and the ConfigMaps beside it. The application is the one of
/// [`windlass_api::spark::connect::application`].
pub fn lower_server(app: &SparkApplication, settings: &Settings) -> Result<Lowered, LowerError> {
    // What leads to a server is no affair of attempts.
    let settings = Settings {
        exposing: Exposing::nothing(),
        ..settings.clone()
    };
    lower_to(
        Product::Server,
        app,
        &identity::first_attempt(app),
        &settings,
    )
}

/// The same of a history server; the application is the one of [`windlass_api::spark::history::application`], with
/// the settings of the server and of its ObjectStores. Its account is that of the namespace, whose token it does not
/// get, unless the template says otherwise.
pub fn lower_history(app: &SparkApplication, settings: &Settings) -> Result<Lowered, LowerError> {
    let settings = Settings {
        exposing: Exposing::nothing(),
        driver_service_account: None,
        // Nothing is lost with one that is evicted.
        protect_drivers: false,
        ..settings.clone()
    };
    lower_to(
        Product::HistoryServer,
        app,
        &identity::first_attempt(app),
        &settings,
    )
}

fn lower_to(
    product: Product,
    app: &SparkApplication,
    attempt: &Attempt,
    settings: &Settings,
) -> Result<Lowered, LowerError> {
    let wrong = validate(app);
    if !wrong.is_empty() {
        return Err(LowerError::Invalid(wrong));
    }
    let pieces = PodPieces::parse(&app.spec).map_err(LowerError::Invalid)?;
    let context = Context {
        app,
        pieces: &pieces,
        resolved: Resolved::of(&app.spec),
        version: application::version(&app.spec)?,
        settings,
        monitoring: Monitoring::of(app, attempt),
        attempt,
        product,
    };
    let driver = Role::new(&context, Kind::Driver);
    let executor = Role::new(&context, Kind::Executor);
    let mut not_applied = application::notes(&context);
    not_applied.extend(route::notes(&driver, driver::FIELDS));
    not_applied.extend(route::notes(&executor, executor::FIELDS));
    not_applied.extend(checkpoint::notes(product, app));
    not_applied.extend(expose(app, &attempt.spark_application_id, &settings.exposing).not_applied);
    not_applied.sort();

    let mut submission = submission::build(&request(&driver, &executor))?;
    driver::finish(&driver, &mut submission)?;
    submission
        .objects
        .splice(0..0, context.monitoring.config_map(&context));
    identity::mark(&context, &mut submission);
    match product {
        Product::Run => {}
        Product::Server => server::finish(&driver, &mut submission, settings.pod_addresses),
        Product::HistoryServer => history::finish(&driver, &mut submission),
    }
    let (profile, _) = Profile::of(&context.version);
    let demand = Demand::of(&submission, profile)?;
    group::annotate(app, &demand, &mut submission);
    if protect::is_protected(app, settings) {
        protect::annotate(&mut submission);
    }
    Ok(Lowered {
        submission,
        not_applied,
        exposed: secrets::in_the_open(&app.spec),
        pod_group: group::pod_group(app, &demand),
        checkpoint_claim: checkpoint::claim(product, app),
        demand,
    })
}

/// What is asked of Spark's submission; later settings beat earlier ones.
fn request(driver: &Role<'_>, executor: &Role<'_>) -> SubmitRequest {
    let context = driver.context;
    let spec = &context.app.spec;
    let mut conf = ConfBuilder::default();
    application::settings(context, &mut conf);
    route::settings(driver, driver::FIELDS, &mut conf);
    route::settings(executor, executor::FIELDS, &mut conf);
    context.monitoring.settings(context, &mut conf);
    group::settings(context, &mut conf);
    checkpoint::settings(context.product, context.app, &mut conf);
    exposure::settings(
        context.app,
        &context.attempt.spark_application_id,
        &context.settings.exposing,
        &mut conf,
    );
    secrets::settings(spec, &mut conf);
    let has_executors = context.product != Product::HistoryServer;
    let templates = submission::Templates {
        driver: driver::template(driver, &mut conf),
        executor: has_executors.then(|| executor::template(executor, &mut conf)),
    };
    SubmitRequest {
        version: context.version.clone(),
        conf: conf.into_conf(),
        main: match context.product {
            Product::Run | Product::HistoryServer => application::main_resource(spec),
            Product::Server => server::stand_in(),
        },
        args: spec.arguments.clone(),
        proxy_user: spec.proxy_user.clone(),
        templates,
        client: Client::bare(&context.settings.user),
        ids: submit_ids(context.app, context.attempt),
    }
}

/// What the first attempt of an application would create, in order: the claim for its checkpoints, the
/// group of its pods, where its scheduler knows any, the driver pod, what it owns, what leads to it from outside, and what
/// keeps the driver from being evicted.
pub fn render(
    app: &SparkApplication,
    settings: &Settings,
) -> Result<(Vec<Value>, Lowered), LowerError> {
    let attempt = identity::first_attempt(app);
    let lowered = lower(app, &attempt, settings)?;
    let submission = &lowered.submission;
    let before = [&lowered.checkpoint_claim, &lowered.pod_group];
    let mut objects: Vec<Value> = before.into_iter().flatten().cloned().collect();
    objects.push(submission.driver.clone());
    objects.extend(submission.objects.iter().cloned());
    objects.extend(expose(app, &attempt.spark_application_id, &settings.exposing).objects);
    objects.extend(has_budget(app, settings).then(|| disruption_budget(app)));
    Ok((objects, lowered))
}

#[cfg(test)]
pub(crate) mod tests;
