//! Work inside of members, as keys of external effects: which commands a key stands for, and what is
//! made of their answers.
//!
//! A key has all that its work needs but the blueprint, and names the container: the answer of
//! another container is nobody's. The same work has the same key, whoever asks for it and however
//! often.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use windlass_api::director::cluster::FileInjection;

use super::marks::Call;
use crate::agent::{Addressee, Ask, Command, Ended, Injection, Reply, Run, Trouble, What};
use crate::autoscale::Answer;
use crate::blueprint::{Blueprint, Role};
use crate::build::hash_text;

/// How long an exec waits for a hook to end before it answers that the hook runs. Short enough for
/// whatever lies between operator and node to keep the connection.
const RUN_SECONDS: u32 = 20;
/// How long an exec waits for the kubelet to refresh what is mounted; that takes up to about a minute
/// (its sync period, and the time for which it remembers a Secret).
const META_SECONDS: u32 = 60;
/// How long an exec waits for systemd.
const JOURNAL_SECONDS: u32 = 30;

/// How long an exec waits until the copy of directories is further than is known.
const PROGRESS_SECONDS: u32 = 10;

/// One piece of work in one container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HookKey {
    /// The pod.
    pub pod: String,
    /// Its uid.
    pub uid: String,
    /// The container.
    pub container: String,
    /// The role of the member.
    pub role: String,
    /// The work.
    pub hook: Hook,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Hook {
    /// The member is set up.
    SetUp {
        /// With at least this version of configmeta.json.
        generation: u64,
    },
    /// The member gets a later configmeta.json.
    Refresh {
        /// At least this version.
        generation: u64,
    },
    /// The member is told something.
    Notify {
        /// With at least this version of configmeta.json.
        generation: u64,
        /// The number of the hook among those of the member.
        number: u32,
        /// How often it has failed before.
        failures: u32,
        /// What it is told.
        call: Call,
        /// Of which members: their full names.
        fqdns: Vec<String>,
        /// What it has been told then.
        memo: String,
    },
    /// The member, whose directories are copied, says how far that is.
    Progress {
        /// What is known of it.
        known: String,
    },
    /// The member does what it has to do before it goes.
    Drain {
        /// How often it has failed before.
        failures: u32,
    },
    /// The member is asked how many members of a role there is a use for. What it answers is no
    /// business of its own, so who asks keeps it, and it is asked for again and again by the same key.
    Demand {
        /// That role.
        of: String,
    },
}

/// How a piece of work stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookState {
    /// It is being done.
    Running,
    /// It is over.
    Over(Outcome),
}

/// What became of a piece of work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// All is as asked, and no script was called for it.
    Fine,
    /// The copy of its directories is so far.
    Copying {
        /// In words.
        text: String,
    },
    /// The script goes on: ask again.
    Unfinished,
    /// The script has ended.
    Ended(Report),
    /// The member was set up before, in an earlier container.
    Restored {
        /// What it had been told.
        memo: String,
    },
    /// It may succeed later.
    Later {
        /// What was in the way.
        detail: String,
    },
    /// It cannot succeed in this container.
    Wrong {
        /// What is wrong.
        detail: String,
    },
}

/// How a script ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The exit code.
    pub code: i32,
    /// What the member has been told if it ended well.
    #[serde(default)]
    pub memo: String,
    /// The end of what it wrote.
    #[serde(default)]
    pub stdout: String,
    /// The end of what it wrote as errors.
    #[serde(default)]
    pub stderr: String,
}

impl HookKey {
    /// The key of the external effect.
    pub fn to_text(&self) -> String {
        // There is no map in it, so it always has a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The key of an external effect; nothing when it is none of these.
    pub fn of_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The commands to run in the container, in order, until one does not answer
    /// [`Reply::Fine`].
    pub fn commands(&self, blueprint: &Blueprint) -> Vec<Command> {
        let Some(role) = blueprint.role(&self.role) else {
            return Vec::new();
        };
        let meta = |generation: u64| Command::Meta {
            pod: self.pod.clone(),
            generation,
            seconds: META_SECONDS,
        };
        match &self.hook {
            Hook::SetUp { generation } => {
                let mut commands = Vec::new();
                // What idles starts no systemd.
                if blueprint.app.systemd && !role.container.idle {
                    commands.push(Command::Journald {
                        seconds: JOURNAL_SECONDS,
                    });
                }
                commands.push(meta(*generation));
                let injections = role.spec.file_injections.iter();
                commands.extend(injections.map(|it| Command::Inject(injection(it))));
                commands.push(Command::Prepare {
                    layout: role.layout(),
                    package: role.package_in_member(),
                });
                if role.package.is_some() && role.events.configure {
                    let arguments = vec!["--configure".to_owned()];
                    commands.push(self.run(role, What::Configure, "configure", None, arguments));
                }
                commands
            }
            Hook::Refresh { generation } => vec![meta(*generation)],
            Hook::Progress { known } => vec![Command::Progress {
                known: known.clone(),
                seconds: PROGRESS_SECONDS,
            }],
            Hook::Notify {
                generation,
                number,
                failures,
                call,
                fqdns,
                memo,
            } => {
                let id = format!("n{number}-{failures}");
                let arguments = arguments(call, fqdns);
                let memo = Some(memo.clone());
                let run = self.run(role, What::Startscript, &id, memo, arguments);
                vec![meta(*generation), run]
            }
            Hook::Drain { failures } => {
                let Some(drain) = &role.drain else {
                    return Vec::new();
                };
                let (what, arguments) = match (&drain.command, &drain.arguments) {
                    (Some(command), _) => (What::Program, command.clone()),
                    (None, Some(arguments)) => (What::Startscript, arguments.clone()),
                    (None, None) => return Vec::new(),
                };
                let id = format!("drain-{failures}");
                // What it was told matters to nobody any more.
                vec![self.run(role, what, &id, Some(String::new()), arguments)]
            }
            Hook::Demand { of } => {
                let scaling = blueprint.role(of).and_then(|it| it.scaling.as_ref());
                let Some(probe) = scaling.map(|it| &it.probe) else {
                    return Vec::new();
                };
                vec![Command::Ask(Ask {
                    what: probe.what,
                    seconds: probe.timeout_seconds,
                    log_limit: role.log_limit,
                    arguments: probe.arguments.clone(),
                })]
            }
        }
    }

    /// Whom the command is for that is the n-th of this work, counted from zero. The first one of those
    /// that set a member up says which container it is that they are for.
    pub fn addressee(&self, number: usize) -> Addressee<'_> {
        Addressee {
            uid: &self.uid,
            container: &self.container,
            enters: number == 0 && matches!(self.hook, Hook::SetUp { .. }),
        }
    }

    fn run(
        &self,
        role: &Role,
        what: What,
        id: &str,
        memo: Option<String>,
        arguments: Vec<String>,
    ) -> Command {
        Command::Run(Run {
            what,
            id: id.to_owned(),
            container: self.container.clone(),
            seconds: RUN_SECONDS,
            log_limit: role.log_limit,
            memo,
            arguments,
        })
    }
}

fn injection(injection: &FileInjection) -> Injection {
    let permissions = injection.permissions.clone().unwrap_or_default();
    Injection {
        id: hash_text(&format!("{injection:?}")),
        url: injection.src_url.clone(),
        directory: injection.dest_dir.clone(),
        mode: permissions
            .file_mode
            .and_then(|mode| u32::try_from(mode).ok()),
        owner: permissions.file_owner,
        group: permissions.file_group,
    }
}

impl Outcome {
    /// What the answer to one command means for the whole work; nothing when the next command is to
    /// be run.
    pub fn of_answer(answer: Result<Reply, Trouble>) -> Option<Self> {
        match answer {
            Ok(Reply::Fine) => None,
            Ok(Reply::Copying(text)) => Some(Self::Copying { text }),
            Ok(Reply::Running) => Some(Self::Unfinished),
            Ok(Reply::Done(ended)) => Some(Self::Ended(ended.into())),
            Ok(Reply::Restored { memo }) => Some(Self::Restored { memo }),
            Ok(Reply::Said(stdout)) => Some(Self::Ended(Report {
                stdout,
                ..Report::default()
            })),
            Err(Trouble::Later(detail)) => Some(Self::Later { detail }),
            Err(Trouble::Wrong(detail)) => Some(Self::Wrong { detail }),
        }
    }

    /// How many members there is a use for, of an answer to [`Hook::Demand`].
    ///
    /// # Errors
    /// Why that is not known.
    pub fn demand(&self) -> Result<Answer, String> {
        match self {
            Self::Ended(report) => Answer::read(&report.stdout),
            Self::Later { detail } | Self::Wrong { detail } => {
                Err(crate::autoscale::shorten(detail))
            }
            // None of its keys; also where the application asks for nothing any more.
            Self::Fine | Self::Copying { .. } | Self::Unfinished | Self::Restored { .. } => {
                Err("nothing was called".to_owned())
            }
        }
    }

    /// As the result of an external effect.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The result of an external effect; what cannot be read was not done.
    pub fn of_value(value: &Value) -> Self {
        Self::deserialize(value).unwrap_or_else(|error| Self::Later {
            detail: format!("the answer cannot be read: {error}"),
        })
    }
}

impl From<Ended> for Report {
    fn from(ended: Ended) -> Self {
        Self {
            code: ended.code,
            memo: ended.memo,
            stdout: ended.stdout,
            stderr: ended.stderr,
        }
    }
}

/// What the startscript is called with.
pub fn arguments(call: &Call, fqdns: &[String]) -> Vec<String> {
    let nodes = |option: &str, role: &str| {
        let list = fqdns.join(",");
        [
            option,
            "--nodegroup",
            crate::configmeta::NODE_GROUP,
            "--role",
            role,
            "--fqdns",
            &list,
        ]
        .map(str::to_owned)
        .into()
    };
    match call {
        Call::AddNodes { role, .. } => nodes("--addnodes", role),
        Call::DelNodes { role, .. } => nodes("--delnodes", role),
        Call::Reconnect { .. } => vec!["--reconnect".to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::samples;

    fn key(hook: Hook) -> HookKey {
        HookKey {
            pod: "kdss-x-0".to_owned(),
            uid: "u".to_owned(),
            container: "containerd://c".to_owned(),
            role: "worker".to_owned(),
            hook,
        }
    }

    fn hooks() -> Vec<Hook> {
        vec![
            Hook::SetUp { generation: 3 },
            Hook::Refresh { generation: 4 },
            Hook::Notify {
                generation: 4,
                number: 2,
                failures: 1,
                call: Call::AddNodes {
                    role: "worker".to_owned(),
                    members: BTreeSet::from([1, 2]),
                },
                fqdns: vec!["w-1.x".to_owned(), "w-2.x".to_owned()],
                memo: "3 - worker:0-2".to_owned(),
            },
            Hook::Notify {
                generation: 4,
                number: 3,
                failures: 0,
                call: Call::Reconnect {
                    version: "abc".to_owned(),
                },
                fqdns: Vec::new(),
                memo: "3 abc worker:0-2".to_owned(),
            },
            Hook::Progress {
                known: "directory 1 of 2, /etc".to_owned(),
            },
            Hook::Drain { failures: 0 },
            Hook::Demand {
                of: "worker".to_owned(),
            },
        ]
    }

    #[test]
    fn a_key_stands_for_these_commands() {
        let blueprint = samples::autoscaled_spark(1, 3);
        let shown: Vec<(String, Vec<String>)> = hooks()
            .into_iter()
            .map(|hook| {
                let key = key(hook);
                let commands = key.commands(&blueprint);
                let lines = commands.iter().enumerate();
                let lines = lines.map(|(n, it)| it.argv_for(key.addressee(n)).join(" "));
                (key.to_text(), lines.collect())
            })
            .collect();
        insta::assert_yaml_snapshot!(shown);
    }

    #[test]
    fn keys_and_outcomes_are_read_as_they_were_written() {
        for hook in hooks() {
            let key = key(hook);
            assert_eq!(HookKey::of_text(&key.to_text()), Some(key));
        }
        assert_eq!(HookKey::of_text("dance"), None);
        for outcome in [
            Outcome::Fine,
            Outcome::Unfinished,
            Outcome::Copying {
                text: "directory 1 of 2, /etc".to_owned(),
            },
            Outcome::Ended(Report::default()),
            Outcome::Restored {
                memo: "1 -".to_owned(),
            },
            Outcome::Later {
                detail: "x".to_owned(),
            },
        ] {
            assert_eq!(Outcome::of_value(&outcome.to_value()), outcome);
        }
        assert!(matches!(
            Outcome::of_value(&Value::Null),
            Outcome::Later { .. }
        ));
    }

    proptest! {
        #[test]
        fn no_two_pieces_of_work_in_a_container_have_one_id(
            first in (0_u32..20, 0_u32..20),
            second in (0_u32..20, 0_u32..20),
        ) {
            let blueprint = samples::spark(1);
            let id = |(number, failures): &(u32, u32)| {
                let key = key(Hook::Notify {
                    generation: 1,
                    number: *number,
                    failures: *failures,
                    call: Call::Reconnect { version: String::new() },
                    fqdns: Vec::new(),
                    memo: String::new(),
                });
                match key.commands(&blueprint).pop() {
                    Some(Command::Run(run)) => run.id,
                    other => panic!("{other:?}"),
                }
            };
            prop_assert_eq!(id(&first) == id(&second), first == second);
        }
    }
}
