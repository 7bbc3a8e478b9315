//! What a member does when it is asked, as the agent does it, and what its script makes of it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Membership, Told};
use crate::agent::{Addressee, Command, Ended, Reply, Run, Trouble, What};

/// What is in a member: what the agent keeps, and what the script of the application has learned.
#[derive(Debug, Clone, Default)]
pub(super) struct Script {
    /// By container and id.
    runs: BTreeMap<(u32, String), Begun>,
    /// Which one of the containers this is that the storage has seen.
    container: u32,
    /// What it was called when it was entered.
    names: BTreeSet<String>,
    /// Its package is installed, and all that comes before that was done in this container.
    prepared: bool,
    /// The memo of the configmeta.json that was written last.
    meta: String,
    told: String,
    configured: bool,
    /// How often the startscript was called with `--configure` in this container.
    configures: u32,
    drained: Option<i32>,
    /// Who the script knows of.
    pub(super) knows: Membership,
    /// Which version of the connections.
    pub(super) hears_of: String,
    /// A script that was begun by the last command.
    pub(super) begun: Option<String>,
}

#[derive(Debug, Clone)]
struct Begun {
    run: Run,
    memo: String,
    code: Option<i32>,
}

impl Script {
    /// What storage kept, in the next container. Scripts that ran have ended with the last one.
    pub(super) fn in_a_new_container(mut self) -> Self {
        self.runs.retain(|_, begun| begun.code.is_some());
        self.container += 1;
        self.names.clear();
        self.prepared = false;
        self.configures = 0;
        self.drained = None;
        self
    }

    pub(super) fn is_drained(&self) -> bool {
        self.drained.is_some()
    }

    pub(super) fn is_drained_well(&self) -> bool {
        self.drained == Some(0)
    }

    pub(super) fn ask(
        &mut self,
        to: Addressee<'_>,
        command: &Command,
        mounted: &(u64, String),
        faults: &mut Vec<String>,
    ) -> Result<Reply, Trouble> {
        self.be_in(to)?;
        match command {
            Command::Meta { generation, .. } if mounted.0 < *generation => {
                Err(Trouble::Later("not mounted yet".to_owned()))
            }
            Command::Meta { .. } => {
                self.meta.clone_from(&mounted.1);
                Ok(Reply::Fine)
            }
            Command::Prepare { .. } => {
                self.prepared = true;
                Ok(Reply::Fine)
            }
            Command::Journald { .. } | Command::Inject(_) => Ok(Reply::Fine),
            Command::Progress { .. } => Err(Trouble::Later("nothing is copied".to_owned())),
            Command::Run(run) => Ok(self.run(run, faults)),
            // Whoever is asked for demand answers for the application.
            Command::Ask(_) => Ok(Reply::Said(String::new())),
        }
    }

    fn be_in(&mut self, to: Addressee<'_>) -> Result<(), Trouble> {
        if self.names.contains(to.container) {
            return Ok(());
        }
        let later = |told: &str| Err(Trouble::Later(told.to_owned()));
        if !to.enters {
            return later("another container runs now");
        }
        let mut open = self.runs.values().filter(|begun| begun.code.is_none());
        if open.any(|begun| begun.run.what != What::Configure) {
            return later("a script runs that was begun for another container");
        }
        self.names.insert(to.container.to_owned());
        Ok(())
    }

    fn run(&mut self, run: &Run, faults: &mut Vec<String>) -> Reply {
        let id = (self.container, run.id.clone());
        if !self.runs.contains_key(&id) {
            if !self.prepared {
                faults.push(format!(
                    "{} is begun in a container that is not set up",
                    run.id
                ));
            }
            if run.what == What::Configure {
                if self.configured {
                    return Reply::Restored {
                        memo: self.told.clone(),
                    };
                }
                self.configures += 1;
                if self.configures > 1 {
                    faults.push(format!("{} is set up twice", run.container));
                }
            }
            self.begun = Some(run.arguments.join(" "));
            let begun = Begun {
                memo: run.memo.clone().unwrap_or_else(|| self.meta.clone()),
                run: run.clone(),
                code: None,
            };
            self.runs.insert(id.clone(), begun);
        }
        let Some(begun) = self.runs.get(&id) else {
            return Reply::Running;
        };
        if begun.run.arguments != run.arguments {
            faults.push(format!("{} is begun as another one", run.id));
        }
        match begun.code {
            None => Reply::Running,
            Some(code) => Reply::Done(Ended {
                code,
                memo: match (run.what, code) {
                    (What::Configure, 0) => self.told.clone(),
                    _ => begun.memo.clone(),
                },
                ..Ended::default()
            }),
        }
    }

    /// The first script that runs in this container ends.
    pub(super) fn finish(&mut self, pod: &str, code: i32, faults: &mut Vec<String>) -> bool {
        let open = self.runs.values_mut().find(|begun| begun.code.is_none());
        let Some(begun) = open else {
            return false;
        };
        begun.code = Some(code);
        let (run, memo) = (begun.run.clone(), begun.memo.clone());
        let option = run.arguments.first().map(String::as_str);
        if option == Some("--decommission") {
            self.drained = Some(code);
        }
        if code != 0 {
            return true;
        }
        match option {
            Some("--configure") => {
                self.configured = true;
                let told: Told = memo.parse().unwrap();
                self.hears_of = told.connections.as_str().to_owned();
                self.knows = told.members;
            }
            Some("--addnodes") => {
                for (role, ordinal) in named(&run) {
                    if self.knows.contains(&role, ordinal) {
                        faults.push(format!("{pod} knew {role} {ordinal} already"));
                    }
                    self.knows.add(&role, &[ordinal].into());
                }
            }
            Some("--delnodes") => {
                for (role, ordinal) in named(&run) {
                    if !self.knows.contains(&role, ordinal) {
                        faults.push(format!("{pod} did not know {role} {ordinal}"));
                    }
                    self.knows.remove(&role, &[ordinal].into());
                }
            }
            Some("--reconnect") => {
                let told: Told = memo.parse().unwrap();
                if self.hears_of == told.connections.as_str() {
                    faults.push(format!("{pod} was reconnected to what it knew"));
                }
                self.hears_of = told.connections.as_str().to_owned();
            }
            _ => {}
        }
        if run.what != What::Program && option != Some("--decommission") {
            self.told = memo;
        }
        true
    }
}

/// The members that the arguments of a script name.
fn named(run: &Run) -> Vec<(String, u32)> {
    let after = |option: &str| {
        let at = run.arguments.iter().position(|it| it == option).unwrap();
        run.arguments[at + 1].clone()
    };
    let (role, fqdns) = (after("--role"), after("--fqdns"));
    let pods = fqdns.split(',').map(|fqdn| fqdn.split('.').next().unwrap());
    pods.map(|pod| {
        (
            role.clone(),
            pod.rsplit('-').next().unwrap().parse().unwrap(),
        )
    })
    .collect()
}
