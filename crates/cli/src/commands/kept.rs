//! Logs that an operator has kept, for `windlass logs`.
//!
//! They are looked for where the application says that its are kept, in the folder of the embedded cluster, and
//! where the operator of the cluster keeps them, as far as its Deployment shows; or where the user says.

use std::io::{self, Write as _};
use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use kube::{Api, Client};
use windlass_spark::connect::SERVER_ROLE;
use windlass_storage::buckets::contents::Contents;
use windlass_storage::logs::lines::text;
use windlass_storage::logs::shelf::{About, Bucket, End, PlaceError, Shelf, Slot};
use windlass_storage::logs::{BucketName, KeptIn};

use super::install::OPERATOR;
use crate::applications::Place;
use crate::args::LogsArgs;
use crate::datadir::DataDir;
use crate::exit::{Exit, Failure};
use crate::kinds::{Kind, Subject};
use crate::output::talk;

/// Where kept logs are looked for.
pub(super) struct KeptLogs {
    /// Shelves, and what they are called.
    shelves: Vec<(Shelf, String)>,
    namespace: String,
}

impl KeptLogs {
    /// Where the user says, or wherever it is said.
    pub(super) async fn of(args: &LogsArgs) -> Result<Self, Failure> {
        let namespace = args.place.namespace.as_deref().unwrap_or("default");
        if let Some(KeptIn::Folder(folder)) = &args.kept {
            return Ok(Self {
                shelves: vec![(Shelf::folder(folder), folder.display().to_string())],
                namespace: namespace.to_owned(),
            });
        }
        if let Some(KeptIn::Bucket(bucket)) = &args.kept {
            let place = Place::open(&args.place).await?;
            return Ok(Self {
                shelves: vec![shelf(&place.client, bucket)],
                namespace: place.namespace,
            });
        }
        let mut shelves = Vec::new();
        let place = Place::open(&args.place).await.ok();
        if let Some(place) = &place {
            let own = own_bucket(place, &args.object).await;
            shelves.extend(own.map(|bucket| shelf(&place.client, &bucket)));
        }
        if !args.place.cluster.names_a_cluster() {
            let data = DataDir::resolve(args.place.cluster.data_dir.as_deref())?;
            let folder = data.kept_logs();
            let called = folder.display().to_string();
            shelves.push((Shelf::folder(folder), called));
        } else if let Some(place) = &place {
            let bucket = operators_bucket(&place.client).await;
            shelves.extend(bucket.map(|bucket| shelf(&place.client, &bucket)));
        }
        Ok(Self {
            shelves,
            namespace: place.map_or_else(|| namespace.to_owned(), |it| it.namespace),
        })
    }

    /// Prints the log that is meant, and says `why` it is a kept one. `None` where nothing of it is kept.
    pub(super) async fn print(&self, args: &LogsArgs, why: &str) -> Result<Option<Exit>, Failure> {
        let mut trouble = None;
        for (shelf, called) in &self.shelves {
            match self.print_of(shelf, args, why).await {
                Ok(Some(exit)) => return Ok(Some(exit)),
                Ok(None) => {}
                Err(failure) => {
                    talk(&format!("{called}: {}", failure.message));
                    trouble = trouble.or(Some(failure));
                }
            }
        }
        trouble.map_or(Ok(None), Err)
    }

    async fn print_of(
        &self,
        shelf: &Shelf,
        args: &LogsArgs,
        why: &str,
    ) -> Result<Option<Exit>, Failure> {
        let logs = shelf.logs(&self.namespace, &args.object.name).await;
        let logs = logs.map_err(failure)?;
        let Some((slot, about)) = chosen(&logs, &args.object, args.executor, args.run.as_deref())
        else {
            return Ok(None);
        };
        let run = if about.run.is_empty() {
            String::new()
        } else {
            format!(" of {}", about.run)
        };
        let held = shelf.held(slot).await.map_err(failure)?;
        let end = match held.end {
            Some(End::Whole) => "",
            Some(End::CutOff) => {
                "; its end may be missing: the pod was gone before all of it was read"
            }
            None => "; its end is not kept, or not yet",
        };
        let beginning = if held.lacks_its_beginning() {
            "; older lines are no longer kept"
        } else {
            ""
        };
        talk(&format!(
            "{why}this is the kept log{run}, of pod {} from {:.0}{beginning}{end}",
            about.pod, about.created
        ));
        let others: Vec<&str> = runs(&logs).filter(|it| *it != about.run).collect();
        if !others.is_empty() && args.run.is_none() && args.executor.is_none() {
            talk(&format!("earlier ones: --run {}", others.join(", --run ")));
        }
        match args.tail {
            None => all(shelf, slot).await?,
            Some(tail) => {
                let wanted = usize::try_from(tail).unwrap_or(0);
                let end = shelf.tail(slot, wanted).await.map_err(failure)?;
                let lines: Vec<&[u8]> = end.split_inclusive(|byte| *byte == b'\n').collect();
                let passed = lines.len().saturating_sub(wanted);
                write(&lines[passed..].concat())?;
            }
        }
        Ok(Some(Exit::Completed))
    }
}

/// Prints a log from its beginning.
async fn all(shelf: &Shelf, slot: &Slot) -> Result<(), Failure> {
    let mut reading = shelf.read(slot);
    while let Some(lines) = reading.next().await.map_err(failure)? {
        if write(&text(&lines))? == Reader::Gone {
            break;
        }
    }
    Ok(())
}

/// Whether somebody reads what is printed.
#[derive(PartialEq, Eq)]
enum Reader {
    There,
    Gone,
}

fn write(bytes: &[u8]) -> Result<Reader, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::internal(error)),
    }
}

fn failure(error: PlaceError) -> Failure {
    match error {
        PlaceError::Bucket(error) => Failure::cluster(error.to_string()),
        error => Failure::internal(error),
    }
}

/// The shelf in a bucket, read with the user's own rights.
fn shelf(client: &Client, bucket: &BucketName) -> (Shelf, String) {
    let contents = Contents::new(client.clone(), bucket.namespace(), bucket.name());
    let bucket_of = Bucket::named(Arc::new(contents), bucket.prefix());
    (Shelf::bucket(bucket_of), bucket.to_string())
}

/// The bucket that an application says its logs are kept in, while it is there.
async fn own_bucket(place: &Place, subject: &Subject) -> Option<BucketName> {
    if !matches!(subject.kind, Kind::Application | Kind::Connect) {
        return None;
    }
    let found = place
        .api(subject.kind)
        .get_opt(&subject.name)
        .await
        .ok()??;
    let name = found.data["spec"]["keepLogs"].as_str()?;
    Some(BucketName::new(&place.namespace, name))
}

/// The bucket that the operator of a cluster keeps logs in, if whoever asks may see its Deployment.
async fn operators_bucket(client: &Client) -> Option<BucketName> {
    let deployments: Api<Deployment> = Api::all(client.clone());
    let label = format!("app.kubernetes.io/name={OPERATOR}");
    let found = deployments
        .list(&ListParams::default().labels(&label))
        .await;
    let arguments = found.ok()?.items.into_iter().flat_map(|it| {
        let pod = it.spec.template.spec;
        let containers = pod.map(|it| it.containers).unwrap_or_default();
        containers.into_iter().filter_map(|it| it.args)
    });
    let mut places = arguments.filter_map(|it| told_place(&it));
    places.find_map(|place| match place {
        KeptIn::Bucket(bucket) => Some(bucket),
        KeptIn::Folder(_) => None,
    })
}

/// Where an operator with these arguments keeps logs.
fn told_place(arguments: &[String]) -> Option<KeptIn> {
    const NAME: &str = "--keep-logs";
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.strip_prefix(NAME) {
            Some("") => return arguments.next()?.parse().ok(),
            Some(rest) if rest.starts_with('=') => return rest[1..].parse().ok(),
            _ => {}
        }
    }
    None
}

/// The log that is meant, of those of a name, the latest of which comes first: that of the driver or server, or
/// of an executor of the same attempt.
fn chosen<'a>(
    logs: &'a [(Slot, About)],
    subject: &Subject,
    executor: Option<u32>,
    run: Option<&str>,
) -> Option<&'a (Slot, About)> {
    let head = match subject.kind {
        Kind::Application => "driver",
        Kind::Connect => SERVER_ROLE,
        Kind::Schedule | Kind::History | Kind::Cluster => return None,
    };
    let heads = || logs.iter().filter(|(_, about)| about.role == head);
    if executor.is_none() {
        return heads().find(|(_, about)| run.is_none_or(|run| about.run == run));
    }
    let run = run.or_else(|| heads().next().map(|(_, about)| about.run.as_str()));
    let mut of_executor = logs
        .iter()
        .filter(|(_, about)| about.role == "executor" && about.executor == executor);
    of_executor.find(|(_, about)| run.is_none_or(|run| about.run == run))
}

/// The attempts of which there is a driver's log, the latest first.
fn runs(logs: &[(Slot, About)]) -> impl Iterator<Item = &str> {
    let heads = logs.iter().filter(|(_, about)| about.role != "executor");
    heads
        .map(|(_, about)| about.run.as_str())
        .filter(|run| !run.is_empty())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn log(uid: &str, role: &str, executor: Option<u32>, run: &str) -> (Slot, About) {
        let slot = Slot {
            namespace: "team".to_owned(),
            application: "sales".to_owned(),
            uid: uid.to_owned(),
        };
        let about = About {
            pod: format!("pod-{uid}"),
            role: role.to_owned(),
            executor,
            run: run.to_owned(),
            container: "main".to_owned(),
            created: Timestamp::UNIX_EPOCH,
        };
        (slot, about)
    }

    #[test]
    fn an_operator_shows_by_its_arguments_where_logs_are() {
        let bucket = "objectstore/platform/logs";
        for (arguments, place) in [
            (
                vec!["operator", "--keep-logs=objectstore/platform/logs"],
                Some(bucket),
            ),
            (
                vec!["operator", "--keep-logs", bucket, "--storage"],
                Some(bucket),
            ),
            (vec!["operator", "--keep-logs=/logs"], Some("/logs")),
            (vec!["operator", "--keep-logs-not=/logs"], None),
            (vec!["operator", "--keep-logs"], None),
        ] {
            let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
            let found = told_place(&arguments).map(|it| it.to_string());
            assert_eq!(found.as_deref(), place, "{arguments:?}");
        }
    }

    #[test]
    fn the_latest_attempt_is_meant_unless_another_one_is_named() {
        let logs = [
            log("6", "executor", Some(1), "spark-b"),
            log("5", "driver", None, "spark-b"),
            log("4", "connect-server", None, ""),
            log("3", "executor", Some(2), "spark-a"),
            log("2", "executor", Some(1), "spark-a"),
            log("1", "driver", None, "spark-a"),
        ];
        let app = Subject::application("sales");
        let server = Subject::of(Kind::Connect, "sales");
        for (subject, executor, run, uid) in [
            (&app, None, None, Some("5")),
            (&app, None, Some("spark-a"), Some("1")),
            (&app, None, Some("spark-c"), None),
            (&app, Some(1), None, Some("6")),
            (&app, Some(2), None, None),
            (&app, Some(1), Some("spark-a"), Some("2")),
            (&server, None, None, Some("4")),
        ] {
            let found = chosen(&logs, subject, executor, run).map(|(slot, _)| slot.uid.as_str());
            assert_eq!(found, uid, "{subject} {executor:?} {run:?}");
        }
        assert_eq!(runs(&logs).collect::<Vec<_>>(), ["spark-b", "spark-a"]);
    }
}
