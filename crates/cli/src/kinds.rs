//! The kinds that commands are about, and how an object is named on a command line.
//!
//! Laws:
//! - a name alone is that of an application; others are KIND/NAME, as kubectl takes them;
//! - what `-o name` prints can be given to every command that takes a name.

use std::fmt;
use std::str::FromStr;

use kube::api::ApiResource;
use windlass_api::spark::connect::CONNECT_NAME_LABEL;
use windlass_api::spark::history::HISTORY_NAME_LABEL;
use windlass_api::spark::scheduled::SCHEDULE_LABEL;
use windlass_director::names::{CLUSTER_LABEL, label_value};

use crate::exit::Failure;
use crate::run::follow::APP_NAME_LABEL;

/// The API group of Spark's kinds.
const SPARK: &str = "sparkoperator.k8s.io";
/// That of kinds of our own.
const WINDLASS: &str = "windlass.dev";
/// That of virtual clusters.
const DIRECTOR: &str = "kubedirector.hpe.com";

/// A kind of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// SparkApplication.
    Application,
    /// ScheduledSparkApplication.
    Schedule,
    /// SparkConnect.
    Connect,
    /// SparkHistoryServer.
    History,
    /// KubeDirectorCluster.
    Cluster,
}

impl Kind {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::Application,
        Self::Schedule,
        Self::Connect,
        Self::History,
        Self::Cluster,
    ];

    const fn group(self) -> &'static str {
        match self {
            Self::Application | Self::Schedule | Self::Connect => SPARK,
            Self::History => WINDLASS,
            Self::Cluster => DIRECTOR,
        }
    }

    /// Where the API serves it.
    pub fn resource(self) -> ApiResource {
        let (version, kind) = match self {
            Self::Application => ("v1beta2", "SparkApplication"),
            Self::Schedule => ("v1beta2", "ScheduledSparkApplication"),
            Self::Connect => ("v1alpha1", "SparkConnect"),
            Self::History => ("v1alpha1", "SparkHistoryServer"),
            Self::Cluster => ("v1beta1", "KubeDirectorCluster"),
        };
        let group = self.group();
        ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: format!("{group}/{version}"),
            kind: kind.to_owned(),
            plural: format!("{}s", kind.to_lowercase()),
        }
    }

    /// The kind as kubectl prints it before a name: singular and group.
    pub fn qualified(self) -> String {
        format!("{}.{}", self.singular(), self.group())
    }

    /// The kind in the singular, as kubectl takes it.
    pub fn singular(self) -> String {
        self.resource().kind.to_lowercase()
    }

    /// What one is called in messages.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Schedule => "schedule",
            Self::Connect => "Connect server",
            Self::History => "history server",
            Self::Cluster => "virtual cluster",
        }
    }

    /// What several are called in messages.
    pub const fn nouns(self) -> &'static str {
        match self {
            Self::Application => "applications",
            Self::Schedule => "schedules",
            Self::Connect => "Connect servers",
            Self::History => "history servers",
            Self::Cluster => "virtual clusters",
        }
    }

    /// The short word before a name.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Application => "app",
            Self::Schedule => "schedule",
            Self::Connect => "connect",
            Self::History => "history",
            Self::Cluster => "cluster",
        }
    }

    /// The command that lists them.
    pub const fn lister(self) -> &'static str {
        match self {
            Self::Application => "windlass list",
            Self::Schedule => "windlass list schedules",
            Self::Connect => "windlass list connects",
            Self::History => "windlass list histories",
            Self::Cluster => "windlass list clusters",
        }
    }

    /// The label by which the pods that belong to one, at whatever remove, know its name.
    pub const fn pod_label(self) -> &'static str {
        match self {
            Self::Application => APP_NAME_LABEL,
            Self::Schedule => SCHEDULE_LABEL,
            Self::Connect => CONNECT_NAME_LABEL,
            Self::History => HISTORY_NAME_LABEL,
            Self::Cluster => CLUSTER_LABEL,
        }
    }

    /// The words for it: ours, and those of the CustomResourceDefinition.
    const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Application => &[
                "app",
                "apps",
                "application",
                "applications",
                "sparkapp",
                "sparkapplication",
                "sparkapplications",
            ],
            Self::Schedule => &[
                "schedule",
                "schedules",
                "scheduledsparkapp",
                "scheduledsparkapplication",
                "scheduledsparkapplications",
            ],
            Self::Connect => &[
                "connect",
                "connects",
                "sparkconn",
                "sparkconnect",
                "sparkconnects",
            ],
            Self::History => &[
                "history",
                "histories",
                "shs",
                "sparkhistoryserver",
                "sparkhistoryservers",
            ],
            Self::Cluster => &[
                "cluster",
                "clusters",
                "kdcluster",
                "kubedirectorcluster",
                "kubedirectorclusters",
            ],
        }
    }
}

/// A word that names no kind of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no kind that windlass knows: give app, schedule, connect, history or cluster, or the names \
     that kubectl has for them"
)]
pub struct UnknownKind(String);

impl FromStr for Kind {
    type Err = UnknownKind;

    /// Reads `KIND`, `KIND.GROUP` or `KIND.VERSION.GROUP`, in any case.
    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let lower = text.to_lowercase();
        let (word, rest) = match lower.split_once('.') {
            Some((word, rest)) => (word, Some(rest)),
            None => (lower.as_str(), None),
        };
        let is_in = |rest: &str, group: &str| {
            let before = rest.strip_suffix(group);
            before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
        };
        Self::ALL
            .into_iter()
            .filter(|kind| rest.is_none_or(|rest| is_in(rest, kind.group())))
            .find(|kind| kind.words().contains(&word))
            .ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// An object that a command is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

impl Subject {
    /// An application.
    pub fn application(name: impl Into<String>) -> Self {
        Self::of(Kind::Application, name)
    }

    /// An object of a kind.
    pub fn of(kind: Kind, name: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
        }
    }

    /// What selects the pods that belong to it.
    pub fn selector(&self) -> String {
        let value = match self.kind {
            // A label has no room for every name.
            Kind::Cluster => label_value(&self.name),
            Kind::Application | Kind::Schedule | Kind::Connect | Kind::History => self.name.clone(),
        };
        format!("{}={value}", self.kind.pod_label())
    }
}

/// A text that names no object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// What stands before the slash is no kind.
    #[error(transparent)]
    Kind(#[from] UnknownKind),
    /// There is no name, or more than one slash.
    #[error("is neither NAME nor KIND/NAME")]
    Shape,
}

impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let named: Named = text.parse()?;
        Ok(Self::of(
            named.kind.unwrap_or(Kind::Application),
            named.name,
        ))
    }
}

/// A name for a command that is about one kind, which may stand before it all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    kind: Option<Kind>,
    name: String,
}

impl Named {
    /// The object of this kind; an error where another kind is given.
    pub fn of(&self, kind: Kind) -> Result<Subject, Failure> {
        match self.kind {
            Some(given) if given != kind => Err(Failure::bad_input(format!(
                "{}/{}: this command is about {}, not about {}",
                given.word(),
                self.name,
                kind.nouns(),
                given.nouns()
            ))),
            _ => Ok(Subject::of(kind, self.name.as_str())),
        }
    }
}

impl FromStr for Named {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let (kind, name) = match text.split_once('/') {
            Some((kind, name)) => (Some(kind.parse()?), name),
            None => (None, text),
        };
        if name.is_empty() || name.contains('/') {
            return Err(SubjectError::Shape);
        }
        Ok(Self {
            kind,
            name: name.to_owned(),
        })
    }
}

/// As a command line takes it.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Application => f.write_str(&self.name),
            kind => write!(f, "{}/{}", kind.word(), self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_named_as_kubectl_names_it_or_in_fewer_words() {
        use Kind::{Application, Cluster, Connect, History, Schedule};
        for (text, kind, name) in [
            ("pi", Application, "pi"),
            ("app/pi", Application, "pi"),
            ("sparkapplications/pi", Application, "pi"),
            ("SparkApplication/pi", Application, "pi"),
            ("schedule/nightly", Schedule, "nightly"),
            ("scheduledsparkapp/nightly", Schedule, "nightly"),
            ("connect/sql", Connect, "sql"),
            ("sparkconn/sql", Connect, "sql"),
            (
                "sparkconnects.v1alpha1.sparkoperator.k8s.io/sql.v2",
                Connect,
                "sql.v2",
            ),
            ("history/jobs", History, "jobs"),
            ("shs/jobs", History, "jobs"),
            ("cluster/db", Cluster, "db"),
            ("kdcluster/db", Cluster, "db"),
            (
                "kubedirectorclusters.kubedirector.hpe.com/db",
                Cluster,
                "db",
            ),
        ] {
            assert_eq!(text.parse(), Ok(Subject::of(kind, name)), "{text}");
        }
        for kind in Kind::ALL {
            let printed = format!("{}/x", kind.qualified());
            assert_eq!(printed.parse(), Ok(Subject::of(kind, "x")));
            let short = Subject::of(kind, "x");
            assert_eq!(short.to_string().parse(), Ok(short));
            let plural = kind.resource().plural;
            assert_eq!(plural.parse(), Ok(kind));
        }
    }

    #[test]
    fn a_command_about_one_kind_takes_no_other() {
        let named = |text: &str| text.parse::<Named>().unwrap();
        for text in ["nightly", "schedule/nightly"] {
            let subject = named(text).of(Kind::Schedule).unwrap();
            assert_eq!(subject, Subject::of(Kind::Schedule, "nightly"));
        }
        let other = named("app/nightly").of(Kind::Schedule).unwrap_err();
        assert_eq!(
            other.message,
            "app/nightly: this command is about schedules, not about applications"
        );
    }

    #[test]
    fn what_is_no_name_is_told() {
        let told = |text: &str| text.parse::<Subject>().unwrap_err().to_string();
        for (text, expected) in [
            ("", "is neither NAME nor KIND/NAME"),
            ("app/", "is neither NAME nor KIND/NAME"),
            ("app/a/b", "is neither NAME nor KIND/NAME"),
            ("pod/x", "\"pod\" is no kind that windlass knows"),
            ("/x", "\"\" is no kind that windlass knows"),
            (
                "sparkapplications.example.com/x",
                "\"sparkapplications.example.com\" is no kind",
            ),
            (
                "kubedirectorclusters.sparkoperator.k8s.io/x",
                "is no kind that windlass knows",
            ),
            (
                "sparkapplications.evilsparkoperator.k8s.io/x",
                "is no kind that windlass knows",
            ),
        ] {
            assert!(told(text).contains(expected), "{text}: {}", told(text));
        }
    }
}
