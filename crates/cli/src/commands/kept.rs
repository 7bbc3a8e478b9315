//! Logs that an operator has kept, for `windlass logs`.

use std::io::{self, Write as _};

use windlass_spark::connect::SERVER_ROLE;
use windlass_storage::logs::lines::text;
use windlass_storage::logs::shelf::{About, Shelf, Slot};

use crate::args::LogsArgs;
use crate::datadir::DataDir;
use crate::exit::{Exit, Failure};
use crate::kinds::{Kind, Subject};
use crate::output::talk;

/// Where kept logs are looked for.
pub(super) struct KeptLogs {
    shelf: Shelf,
    namespace: String,
}

impl KeptLogs {
    /// The folder that is named, or that of the embedded cluster; another cluster's is nowhere on this
    /// machine.
    pub(super) fn of(args: &LogsArgs) -> Result<Option<Self>, Failure> {
        let folder = match &args.kept {
            Some(folder) => folder.clone(),
            None if args.place.cluster.names_a_cluster() => return Ok(None),
            None => DataDir::resolve(args.place.cluster.data_dir.as_deref())?.kept_logs(),
        };
        let namespace = args.place.namespace.as_deref().unwrap_or("default");
        Ok(Some(Self {
            shelf: Shelf::new(folder),
            namespace: namespace.to_owned(),
        }))
    }

    /// Prints the log that is meant, and says `why` it is a kept one. `None` where nothing of it is kept.
    pub(super) fn print(&self, args: &LogsArgs, why: &str) -> Result<Option<Exit>, Failure> {
        let logs = self.shelf.logs(&self.namespace, &args.object.name);
        let logs = logs.map_err(Failure::internal)?;
        let Some((slot, about)) = chosen(&logs, &args.object, args.executor, args.run.as_deref())
        else {
            return Ok(None);
        };
        let run = if about.run.is_empty() {
            String::new()
        } else {
            format!(" of {}", about.run)
        };
        let end = if self.shelf.is_ended(slot) {
            ""
        } else {
            "; its end is not kept, or not yet"
        };
        talk(&format!(
            "{why}this is the kept log{run}, of pod {} from {:.0}{end}",
            about.pod, about.created
        ));
        let others: Vec<&str> = runs(&logs).filter(|it| *it != about.run).collect();
        if !others.is_empty() && args.run.is_none() && args.executor.is_none() {
            talk(&format!("earlier ones: --run {}", others.join(", --run ")));
        }
        match self.copy(slot, args.tail) {
            Ok(()) => Ok(Some(Exit::Completed)),
            // Nobody reads on.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Some(Exit::Completed)),
            Err(error) => Err(Failure::internal(error)),
        }
    }

    fn copy(&self, slot: &Slot, tail: Option<i64>) -> io::Result<()> {
        let mut numbers = self.shelf.numbers(slot)?;
        let mut stdout = io::stdout().lock();
        let Some(tail) = tail else {
            for number in numbers {
                stdout.write_all(&text(&self.shelf.segment(slot, number)?))?;
            }
            return stdout.flush();
        };
        let wanted = usize::try_from(tail).unwrap_or(0);
        let mut end = Vec::new();
        while let Some(number) = numbers.pop()
            && count(&end) < wanted
        {
            let mut earlier = text(&self.shelf.segment(slot, number)?);
            earlier.append(&mut end);
            end = earlier;
        }
        let passed = count(&end).saturating_sub(wanted);
        for line in end.split_inclusive(|byte| *byte == b'\n').skip(passed) {
            stdout.write_all(line)?;
        }
        stdout.flush()
    }
}

fn count(text: &[u8]) -> usize {
    text.split_inclusive(|byte| *byte == b'\n').count()
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
        Kind::Schedule | Kind::Cluster => return None,
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
