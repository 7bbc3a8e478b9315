//! Logs that outlive their pods and applications, on the embedded cluster.

use std::time::Duration;

use serde_json::json;

use crate::applications::{ok, scripted};
use crate::common::{Up, until};

/// Longer than what has arrived may wait, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// Counts as fast as it can in rows, with something to wait for in between.
const COUNTS: &str = "i=0; trap 'echo told to end; exit 143' TERM; \
                      while :; do i=$((i+1)); echo line $i; [ $((i % 200)) = 0 ] && sleep 0.2; done";

fn apply(up: &Up, name: &str, script: &str) {
    let mut application = scripted(name, script);
    // Last words take time: a node counts from whole seconds, so that of one second little may be left.
    application["spec"]["driver"]["template"]["spec"]["terminationGracePeriodSeconds"] = json!(10);
    up.kubectl_with(&["create", "-f", "-"], &application.to_string());
}

fn is_gone(up: &Up, pod: &str) {
    until(&format!("{pod} to be gone"), PATIENCE, || {
        up.get(&["pod", pod]).is_none().then_some(())
    });
}

/// The kept log, once all of it is there.
fn whole(up: &Up, name: &str) -> String {
    until("the log to be whole", PATIENCE, || {
        let answer = up.windlass(&["logs", name]);
        let is_whole = answer.code == 0 && !answer.stderr.contains("its end is not kept");
        is_whole.then_some(answer.stdout)
    })
}

/// Each number once and in order.
fn check_count(text: &str) -> usize {
    let mut count = 0;
    for line in text.lines().filter(|line| line.starts_with("line ")) {
        count += 1;
        assert_eq!(line, format!("line {count}"));
    }
    count
}

#[test]
fn a_log_is_there_in_full_when_its_application_and_its_pod_were_deleted_together() {
    let up = Up::start();
    apply(&up, "counts", COUNTS);
    ok(up.windlass(&["wait", "counts", "--for", "running", "--timeout", "120"]));
    let live = until("something to be printed", PATIENCE, || {
        let answer = up.windlass(&["logs", "counts"]);
        answer.stdout.contains("line 400").then_some(answer)
    });
    assert!(!live.stderr.contains("kept"), "{}", live.stderr);
    up.kubectl_ok(&["delete", "sparkapplication", "counts"]);
    is_gone(&up, "counts-driver");
    let text = whole(&up, "counts");
    assert!(check_count(&text) >= 400, "{text}");
    assert!(text.ends_with("told to end\n"), "{text}");
    let answer = up.windlass(&["logs", "counts", "--tail", "1"]);
    assert_eq!(answer.stdout, "told to end\n");
    let said = &answer.stderr;
    assert!(said.contains("no application default/counts"), "{said}");
    assert!(said.contains("this is the kept log of spark-"), "{said}");

    // The name is used again, and the first one is still there.
    apply(&up, "counts", "echo second");
    ok(up.windlass(&["wait", "counts", "--timeout", "120"]));
    let folder = up.data.path().join("logs").display().to_string();
    until("the second log to be kept", PATIENCE, || {
        let kept = up.windlass(&["logs", "counts", "--kept", &folder]);
        (kept.stdout == "second\n").then_some(())
    });
    up.kubectl_ok(&["delete", "sparkapplication", "counts"]);
    is_gone(&up, "counts-driver");
    assert_eq!(whole(&up, "counts"), "second\n");
    let said = up.windlass(&["logs", "counts"]).stderr;
    let run = said.split("--run ").nth(1).unwrap().trim();
    let first = up.windlass(&["logs", "counts", "--run", run]);
    assert_eq!(first.stdout, text, "{}", first.stderr);
    let nobody = up.windlass(&["logs", "nobody"]);
    assert_eq!(nobody.code, 2, "{}", nobody.stderr);
}

#[test]
fn an_operator_that_is_killed_again_and_again_keeps_each_line_once() {
    let mut up = Up::start();
    apply(&up, "counts", COUNTS);
    ok(up.windlass(&["wait", "counts", "--for", "running", "--timeout", "120"]));
    let is_kept_on = |up: &Up| {
        let folder = up.data.path().join("logs/default/counts");
        let before = segments(&folder);
        until("a segment to be kept", PATIENCE, || {
            (segments(&folder) > before).then_some(())
        });
    };
    for _ in 0..3 {
        is_kept_on(&up);
        up = Up::on(up.kill());
    }
    // Last words are heard by whoever listens already.
    is_kept_on(&up);
    up.kubectl_ok(&["delete", "sparkapplication", "counts"]);
    is_gone(&up, "counts-driver");
    let text = whole(&up, "counts");
    assert!(check_count(&text) >= 200, "{text}");
    assert!(text.ends_with("told to end\n"), "{text}");
}

/// The largest number of a segment of any pod of an application: files are joined meanwhile.
fn segments(folder: &std::path::Path) -> usize {
    let pods = std::fs::read_dir(folder).into_iter().flatten().flatten();
    pods.flat_map(|pod| {
        std::fs::read_dir(pod.path())
            .into_iter()
            .flatten()
            .flatten()
    })
    .filter_map(|file| {
        let name = file.file_name();
        let stem = name.to_str()?.strip_suffix(".log")?;
        stem.rsplit('-').next()?.parse::<usize>().ok()
    })
    .max()
    .unwrap_or(0)
}
