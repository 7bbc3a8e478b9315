//! What is said of members beside how they come and go.

use serde_json::json;
use windlass_api::director::cluster::ClusterStatus;
use windlass_engine::plan::{Effect, Plan};

use super::super::*;
use crate::build::Seed;
use crate::samples;

fn planned(
    change: impl FnOnce(&mut crate::blueprint::Blueprint),
    before: &ClusterStatus,
    pod: ObservedPod,
    hooks: Vec<(HookKey, HookState)>,
) -> Plan<ClusterStatus> {
    let mut blueprint = samples::spark(0);
    change(&mut blueprint);
    let spec = Spec {
        generation: 1,
        deleting: false,
        blueprint: Ok(blueprint.clone()),
    };
    let names = Observed::default().names(&blueprint);
    let observed = Observed {
        pods: vec![ObservedPod {
            object: Present {
                name: names.pod("controller", 0),
                uid: "u".to_owned(),
                ..Present::default()
            },
            role: "controller".to_owned(),
            ..pod
        }],
        hooks: hooks.into_iter().collect(),
        entropy: Some(Seed::new("a seed")),
        ..Observed::default()
    };
    plan(
        &spec,
        before,
        &observed,
        "2026-01-01T00:00:00Z".parse().unwrap(),
    )
}

fn condition(plan: &Plan<ClusterStatus>, kind: &str) -> Option<(String, String, String)> {
    let found = plan.status.conditions.iter().find(|it| it.type_ == kind)?;
    Some((
        found.status.clone(),
        found.reason.clone(),
        found.message.clone(),
    ))
}

#[test]
fn a_member_whose_directories_are_copied_is_asked_how_far_that_is_and_the_status_says_it() {
    let copying = || ObservedPod {
        init_container: Some("containerd://i".to_owned()),
        container: Container::Initializing,
        ..ObservedPod::default()
    };
    let asked = |plan: &Plan<ClusterStatus>| {
        let mut keys = plan.effects.iter().filter_map(|effect| match effect {
            Effect::External { key } => HookKey::of_text(key),
            _ => None,
        });
        keys.next()
    };
    let plan = planned(|_| {}, &ClusterStatus::default(), copying(), Vec::new());
    let first = asked(&plan).unwrap();
    let known = |known: &str| Hook::Progress {
        known: known.to_owned(),
    };
    assert_eq!(first.hook, known(""));
    assert_eq!(first.container, "containerd://i");

    let text = "directory 2 of 3, /usr, 1 of 9 MiB in all";
    let over = HookState::Over(Outcome::Copying {
        text: text.to_owned(),
    });
    let answered = vec![(first, over)];
    let plan = planned(|_| {}, &ClusterStatus::default(), copying(), answered);
    let member = &plan.status.roles[0].members[0];
    let told = member.state_detail.storage_init_progress.clone();
    assert_eq!(told.as_deref(), Some(text));
    assert_eq!(asked(&plan), None);
    let (_, _, message) = condition(&plan, "Progressing").unwrap();
    assert!(
        message.ends_with(&format!("copies its directories: {text}")),
        "{message}"
    );

    // Who comes to it anew asks for what is further than the status says, and says the same until then.
    let again = planned(|_| {}, &plan.status, copying(), Vec::new());
    assert_eq!(asked(&again).unwrap().hook, known(text));
    assert_eq!(again.status, plan.status);
    let ended = planned(|_| {}, &plan.status, ObservedPod::default(), Vec::new());
    let member = &ended.status.roles[0].members[0];
    assert_eq!(member.state_detail.storage_init_progress, None);
}

#[test]
fn what_an_application_with_systemd_gets_is_a_condition_and_what_it_lacks_is_told_once() {
    let running = |trouble: Option<&str>, is_set_up: bool| ObservedPod {
        container: Container::Running { id: "c".to_owned() },
        marks: PodMarks {
            trouble: trouble.map(str::to_owned),
            configured: is_set_up.then(|| "c".to_owned()),
            ..PodMarks::default()
        },
        ..ObservedPod::default()
    };
    let systemd = |blueprint: &mut crate::blueprint::Blueprint| blueprint.app.systemd = true;
    let kind = "SystemdRuns";
    let none = ClusterStatus::default();
    let without = planned(|_| {}, &none, running(None, true), Vec::new());
    assert_eq!(condition(&without, kind), None);

    let told = |plan: &Plan<ClusterStatus>| {
        let (truth, reason, message) = condition(plan, kind).unwrap();
        (format!("{truth} {reason}"), message)
    };
    let fine = planned(systemd, &none, running(None, true), Vec::new());
    let (verdict, message) = told(&fine);
    assert_eq!(verdict, "True Running");
    assert!(
        message.starts_with("members have tmpfs at /tmp, /run and /run/lock, "),
        "{message}"
    );
    let starting = planned(systemd, &none, running(None, false), Vec::new());
    assert_eq!(told(&starting).0, "False Starting");

    let lacks = "systemd does not run here: the node mounts no cgroups in this container";
    let lacking = planned(systemd, &none, running(Some(lacks), false), Vec::new());
    let (verdict, message) = told(&lacking);
    assert_eq!(verdict, "False NotRunning");
    assert!(
        message.contains("-0: the node mounts no cgroups in this container; "),
        "{message}"
    );
    let reasons = |plan: &Plan<ClusterStatus>| {
        let events = plan.events.iter().map(|it| it.reason.clone());
        events.filter(|it| it == "SystemdNotRunning").count()
    };
    assert_eq!(reasons(&lacking), 1);
    let again = planned(
        systemd,
        &lacking.status,
        running(Some(lacks), false),
        Vec::new(),
    );
    assert_eq!(reasons(&again), 0);

    let idle = |blueprint: &mut crate::blueprint::Blueprint| {
        blueprint.app.systemd = true;
        blueprint.app.capabilities = vec!["SYS_PTRACE".to_owned()];
        blueprint.settings.systemd_mounts = true;
        for role in &mut blueprint.roles {
            role.container.idle = true;
        }
    };
    let idling = planned(idle, &none, running(None, true), Vec::new());
    assert_eq!(
        json!(condition(&idling, kind)),
        json!([
            "False",
            "NotStarted",
            "members of controller idle, so that nothing starts systemd in them; members have tmpfs at /tmp, \
             /run and /run/lock, the capabilities SYS_PTRACE beside the usual ones, and the node's \
             /sys/fs/cgroup to read and /sys/fs/cgroup/systemd to write, which is what systemd needs on \
             nodes with cgroup v1"
        ])
    );
}
