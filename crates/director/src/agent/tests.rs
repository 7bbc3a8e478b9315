//! The script itself, run in a directory that stands for the root of a container.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Output};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::configmeta::lookup;

mod ask;
mod containers;
mod probe;

/// A container's files.
struct Member {
    root: TempDir,
}

const SCRIPT_THAT_NOTES: &str = r#"#!/bin/sh
echo "$@" >>"$WINDLASS_ROOT/calls"
echo "out of $1"
echo "err of $1" >&2
exit "$(cat "$WINDLASS_ROOT/code" 2>/dev/null || echo 0)"
"#;

impl Member {
    fn new() -> Self {
        let member = Self {
            root: TempDir::new().unwrap(),
        };
        fs::create_dir_all(member.path("opt/windlass")).unwrap();
        fs::create_dir_all(member.path("usr/bin")).unwrap();
        member.write("opt/windlass/agent", SCRIPT);
        member.write("opt/windlass/configcli", CONFIGCLI);
        member.write("opt/windlass/configcli.sh", CONFIGCLI_WITHOUT_PYTHON);
        member
    }

    /// One that has a setup package already.
    fn prepared() -> Self {
        let member = Self::new();
        member.package("app", SCRIPT_THAT_NOTES);
        let source = member.path("package.tgz").to_str().unwrap().to_owned();
        assert_eq!(member.ask(&prepare(&source, None)), Ok(Reply::Fine));
        member
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    /// Makes `package.tgz` of a startscript in a directory of this name.
    fn package(&self, directory: &str, script: &str) {
        self.write(&format!("package/{directory}/startscript"), script);
        self.write(&format!("package/{directory}/lib/more"), "more");
        let made = Process::new("tar")
            .current_dir(self.path("package"))
            .args(["-czf", "../package.tgz", directory])
            .status();
        assert!(made.unwrap().success());
    }

    /// The generation of configmeta.json that is mounted.
    fn mount(&self, generation: u64) {
        self.write("opt/windlass/generation", &format!("{generation}\n"));
        self.write("opt/windlass/common", "{\"version\":\"7\",\"node\":");
        self.write("opt/windlass/node.w-0", "{\"id\":\"1\"}}");
        self.write("opt/windlass/memo", &format!("memo of {generation}\n"));
    }

    fn process(&self, argv: &[String]) -> Process {
        let mut process = Process::new(&argv[0]);
        let agent = self.path("opt/windlass/agent");
        process
            .arg(agent)
            .args(&argv[2..])
            .env("WINDLASS_ROOT", self.root.path())
            .current_dir(self.root.path());
        process
    }

    fn ask(&self, command: &Command) -> Result<Reply, Trouble> {
        let Output {
            status,
            stdout,
            stderr,
        } = self.process(&command.argv()).output().unwrap();
        command.read(status.code().unwrap_or(-1), &stdout, &stderr)
    }

    fn calls(&self) -> Vec<String> {
        self.read("calls").lines().map(str::to_owned).collect()
    }

    fn configcli(&self, arguments: &[&str]) -> (bool, String) {
        let output = Process::new(self.path("usr/local/bin/configcli"))
            .args(arguments)
            .env("WINDLASS_ROOT", self.root.path())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (
            output.status.success(),
            text.trim_end_matches('\n').to_owned(),
        )
    }
}

fn prepare(source: &str, sha256: Option<&str>) -> Command {
    Command::Prepare {
        layout: Layout::New,
        package: Some(Package {
            source: source.to_owned(),
            sha256: sha256.map(str::to_owned),
        }),
    }
}

fn run(what: What, id: &str, seconds: u32, arguments: &[&str]) -> Command {
    Command::Run(Run {
        what,
        id: id.to_owned(),
        container: "c1".to_owned(),
        seconds,
        log_limit: 256,
        memo: Some(format!("told {id}")),
        arguments: arguments.iter().map(|it| (*it).to_owned()).collect(),
    })
}

fn ended(reply: Result<Reply, Trouble>) -> Ended {
    match reply {
        Ok(Reply::Done(ended)) => ended,
        other => panic!("{other:?}"),
    }
}

#[test]
fn configmeta_is_written_once_its_generation_is_mounted() {
    let member = Member::new();
    let meta = |generation| Command::Meta {
        pod: "w-0".to_owned(),
        generation,
        seconds: 0,
    };
    let later = |told: &str| Err(Trouble::Later(told.to_owned()));
    assert_eq!(
        member.ask(&meta(4)),
        later("generation none is mounted, and 4 is waited for")
    );
    member.mount(3);
    assert_eq!(
        member.ask(&meta(4)),
        later("generation 3 is mounted, and 4 is waited for")
    );
    assert_eq!(member.read("etc/guestconfig/configmeta.json"), "");
    member.mount(5);
    assert_eq!(member.ask(&meta(4)), Ok(Reply::Fine));
    let file = member.read("etc/guestconfig/configmeta.json");
    assert_eq!(file, "{\"version\":\"7\",\"node\":{\"id\":\"1\"}}");
    let mode = |path: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(member.path(path))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("etc/guestconfig/configmeta.json"), 0o600);
    assert_eq!(mode("opt/guestconfig"), 0o700);
    let nobody = Command::Meta {
        pod: "w-1".to_owned(),
        generation: 1,
        seconds: 0,
    };
    assert!(matches!(member.ask(&nobody), Err(Trouble::Later(_))));
}

#[test]
fn a_mount_that_the_kubelet_exchanges_is_read_as_a_whole() {
    let member = Member::new();
    member.mount(1);
    for file in ["generation", "common", "node.w-0", "memo"] {
        fs::create_dir_all(member.path("opt/windlass/..2")).unwrap();
        let text = member
            .read(&format!("opt/windlass/{file}"))
            .replace('7', "8")
            .replace("1\n", "2\n");
        member.write(&format!("opt/windlass/..2/{file}"), &text);
    }
    std::os::unix::fs::symlink("..2", member.path("opt/windlass/..data")).unwrap();
    let meta = Command::Meta {
        pod: "w-0".to_owned(),
        generation: 2,
        seconds: 0,
    };
    assert_eq!(member.ask(&meta), Ok(Reply::Fine));
    assert!(
        member
            .read("etc/guestconfig/configmeta.json")
            .contains("\"8\"")
    );
    assert_eq!(member.read("opt/guestconfig/.windlass/meta"), "memo of 2\n");
}

#[test]
fn a_package_is_unpacked_once() {
    let member = Member::prepared();
    assert_eq!(member.read("opt/guestconfig/app/lib/more"), "more");
    member.write("opt/guestconfig/app/lib/more", "changed");
    let gone = prepare("/nowhere.tgz", None);
    assert_eq!(member.ask(&gone), Ok(Reply::Fine));
    assert_eq!(member.read("opt/guestconfig/app/lib/more"), "changed");
    for link in [
        "usr/local/bin/bdvcli",
        "usr/local/bin/configmacro",
        "usr/bin/bd_vcli",
    ] {
        assert!(member.path(link).exists(), "{link}");
    }
}

#[test]
fn packages_that_are_not_as_promised_are_refused() {
    let member = Member::new();
    let source = member.path("package.tgz").to_str().unwrap().to_owned();
    let refused = |reply| match reply {
        Err(Trouble::Wrong(told)) => told,
        other => panic!("{other:?}"),
    };
    // Not there yet may be there later.
    assert!(matches!(
        member.ask(&prepare(&source, None)),
        Err(Trouble::Later(_))
    ));
    member.write("package.tgz", "this is no archive");
    let told = refused(member.ask(&prepare(&source, None)));
    assert!(told.contains("is no tar archive"), "{told}");
    let told = refused(member.ask(&prepare(&source, Some(&"0".repeat(64)))));
    assert!(told.contains("and 0000"), "{told}");
    member.write("package/app/readme", "no script");
    let tar = Process::new("tar")
        .current_dir(member.path("package"))
        .args(["-czf", "../package.tgz", "app"])
        .status();
    assert!(tar.unwrap().success());
    let told = refused(member.ask(&prepare(&source, None)));
    assert!(told.contains("has no startscript"), "{told}");
    // After all this, the right one is taken.
    member.package("app", SCRIPT_THAT_NOTES);
    let sum = Process::new("sha256sum").arg(&source).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap()[..64].to_uppercase();
    assert_eq!(member.ask(&prepare(&source, Some(&sum))), Ok(Reply::Fine));
    assert!(member.path("opt/guestconfig/app/startscript").exists());
}

#[test]
fn without_a_package_only_configcli_is_installed_and_a_real_one_stays() {
    let member = Member::new();
    let none = Command::Prepare {
        layout: Layout::Old,
        package: None,
    };
    assert_eq!(member.ask(&none), Ok(Reply::Fine));
    assert!(member.read("usr/local/bin/configcli").starts_with("#!/"));
    assert!(!member.path("usr/bin/bdvcli").exists());
    let other = Member::new();
    other.write("usr/bin/configcli", "the real one");
    assert_eq!(other.ask(&none), Ok(Reply::Fine));
    assert!(!other.path("usr/local/bin/configcli").exists());
}

#[test]
fn a_hook_runs_once_and_is_told_as_often_as_asked() {
    let member = Member::prepared();
    let add = run(
        What::Startscript,
        "n1",
        30,
        &["--addnodes", "--fqdns", "a,b c"],
    );
    for _ in 0..3 {
        let ended = ended(member.ask(&add));
        assert_eq!(ended.code, 0);
        assert_eq!(ended.memo, "told n1");
        assert_eq!(ended.stdout, "out of --addnodes\n");
        assert_eq!(ended.stderr, "err of --addnodes\n");
    }
    assert_eq!(member.calls(), ["--addnodes --fqdns a,b c"]);
    assert_eq!(member.read("opt/guestconfig/.windlass/told"), "told n1\n");
    ended(member.ask(&run(What::Startscript, "n2", 30, &["--delnodes"])));
    assert_eq!(member.calls().len(), 2);
}

#[test]
fn a_hook_that_takes_long_is_said_to_run_and_outlives_who_asked() {
    let member = Member::prepared();
    let slow = "#!/bin/sh\necho \"$1\" >>\"$WINDLASS_ROOT/calls\"\nwhile [ ! -e \"$WINDLASS_ROOT/go\" ]; do sleep 0.05; done\n";
    member.write("opt/guestconfig/app/startscript", slow);
    let asked = |seconds| run(What::Startscript, "n1", seconds, &["--reconnect"]);
    assert_eq!(member.ask(&asked(0)), Ok(Reply::Running));
    // Somebody asks and is killed; the hook does not notice.
    let mut killed = member.process(&asked(60).argv()).spawn().unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(member.ask(&asked(0)), Ok(Reply::Running));
    member.write("go", "");
    assert_eq!(ended(member.ask(&asked(30))).code, 0);
    assert_eq!(member.calls(), ["--reconnect"]);
}

#[test]
fn of_many_that_ask_at_once_one_starts_the_hook() {
    let member = Member::prepared();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let hook = run(What::Startscript, "n1", 30, &["--addnodes"]);
                assert_eq!(ended(member.ask(&hook)).code, 0);
            });
        }
    });
    assert_eq!(member.calls().len(), 1);
}

#[test]
fn configure_leaves_the_files_that_kubedirector_leaves() {
    let member = Member::prepared();
    member.mount(2);
    let meta = Command::Meta {
        pod: "w-0".to_owned(),
        generation: 2,
        seconds: 0,
    };
    assert_eq!(member.ask(&meta), Ok(Reply::Fine));
    let Command::Run(mut configure) = run(What::Configure, "configure-c1", 30, &["--configure"])
    else {
        panic!();
    };
    configure.memo = None;
    assert_eq!(
        ended(member.ask(&Command::Run(configure.clone()))).memo,
        "memo of 2"
    );
    assert_eq!(member.read("opt/guestconfig/configure.status"), "c1=0");
    assert_eq!(
        member.read("opt/guestconfig/configure.stdout"),
        "out of --configure\n"
    );
    assert_eq!(
        member.read("opt/guestconfig/configure.stderr"),
        "err of --configure\n"
    );
    // Another container with the same storage is as the first one left it.
    configure.id = "configure-c2".to_owned();
    configure.container = "c2".to_owned();
    let restored = Reply::Restored {
        memo: "memo of 2".to_owned(),
    };
    assert_eq!(member.ask(&Command::Run(configure)), Ok(restored));
    assert_eq!(member.calls(), ["--configure"]);
}

#[test]
fn a_configure_that_fails_is_told_and_tried_again_in_the_next_container() {
    let member = Member::prepared();
    member.write("code", "3");
    let configure = |container: &str| {
        let Command::Run(mut run) = run(What::Configure, container, 30, &["--configure"]) else {
            panic!();
        };
        run.container = container.to_owned();
        Command::Run(run)
    };
    let failed = ended(member.ask(&configure("c1")));
    assert_eq!(
        (failed.code, failed.stderr.as_str()),
        (3, "err of --configure\n")
    );
    assert_eq!(member.read("opt/guestconfig/configure.status"), "c1=3");
    assert_eq!(member.read("opt/guestconfig/.windlass/told"), "");
    assert_eq!(ended(member.ask(&configure("c1"))).code, 3);
    member.write("code", "0");
    assert_eq!(ended(member.ask(&configure("c2"))).code, 0);
    assert_eq!(member.calls().len(), 2);
}

fn checksum(text: &str) -> String {
    let script = format!("printf '%s' {text} | cksum | cut -d' ' -f1");
    let output = Process::new("sh").args(["-c", &script]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_hook_that_is_killed_with_whoever_waits_for_it_has_failed() {
    let member = Member::prepared();
    // In containers that are none this stands for the first one.
    let kept = format!("opt/guestconfig/.windlass/n1-{}", checksum("c1"));
    member.write(&format!("{kept}/started"), "c1\n");
    // No process has this number.
    member.write(&format!("{kept}/pid"), "4194305\n");
    let hook = run(What::Startscript, "n1", 30, &["--addnodes"]);
    assert_eq!(ended(member.ask(&hook)).code, 137);
    assert!(member.calls().is_empty());
}

#[test]
fn output_is_shown_in_whole_lines() {
    let member = Member::new();
    let show = |limit, text: &str| {
        let id = format!("{limit}-{}", text.len());
        let Command::Run(mut hook) = run(What::Program, &id, 30, &["printf", text]) else {
            panic!();
        };
        hook.log_limit = limit;
        ended(member.ask(&Command::Run(hook))).stdout
    };
    assert_eq!(show(256, "one\\ntwo\\n"), "one\ntwo\n");
    assert_eq!(show(6, "one\\ntwo\\n"), "two\n");
    assert_eq!(show(4, "abcdefgh"), "efgh");
    assert_eq!(show(0, "abcd\\n"), "");
    assert_eq!(show(9, "n\\303\\251e\\n"), "née\n");
}

#[test]
fn files_are_put_into_place_once() {
    let member = Member::new();
    member.write("source", "text");
    let inject = |id: &str, url: &Path| {
        Command::Inject(Injection {
            id: id.to_owned(),
            url: url.to_str().unwrap().to_owned(),
            directory: "/srv/conf".to_owned(),
            mode: Some(0o640),
            owner: None,
            group: None,
        })
    };
    let source = member.path("source");
    assert_eq!(member.ask(&inject("a", &source)), Ok(Reply::Fine));
    assert_eq!(member.read("srv/conf/source"), "text");
    member.write("srv/conf/source", "changed");
    assert_eq!(member.ask(&inject("a", &source)), Ok(Reply::Fine));
    assert_eq!(member.read("srv/conf/source"), "changed");
    assert_eq!(member.ask(&inject("b", &source)), Ok(Reply::Fine));
    assert_eq!(member.read("srv/conf/source"), "text");
    let missing = member.ask(&inject("c", &member.path("missing")));
    assert!(matches!(missing, Err(Trouble::Later(_))), "{missing:?}");
}

#[test]
fn what_idles_ends_when_it_is_told_to() {
    let member = Member::new();
    let argv = ["sh", "agent", "idle"].map(str::to_owned);
    let mut idle = member.process(&argv).spawn().unwrap();
    // The shell may not have come to set its trap; then the signal ends it, too.
    let told = Process::new("kill").arg(idle.id().to_string()).status();
    assert!(told.unwrap().success());
    idle.wait().unwrap();
}

#[test]
fn wrong_calls_are_told() {
    let member = Member::new();
    let output = member
        .process(&["sh", "agent", "dance"].map(str::to_owned))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let hook = run(What::Startscript, "n1", 0, &["--addnodes"]);
    assert!(matches!(member.ask(&hook), Err(Trouble::Wrong(_))));
}

#[test]
fn configcli_answers_as_the_resolver_does() {
    let member = Member::prepared();
    let configcli = member.read("usr/local/bin/configcli");
    assert!(configcli.ends_with(CONFIGCLI), "{configcli}");
    answers_as_the_resolver_does(&member);
}

#[test]
fn configcli_answers_the_same_where_there_is_no_python() {
    let member = Member::new();
    fs::create_dir(member.path("bin")).unwrap();
    for program in ["cat", "chmod", "grep", "ln", "mkdir", "mv", "sh"] {
        let found = ["/usr/bin", "/bin"].map(|it| Path::new(it).join(program));
        let found = found.iter().find(|it| it.exists()).unwrap();
        std::os::unix::fs::symlink(found, member.path("bin").join(program)).unwrap();
    }
    let none = Command::Prepare {
        layout: Layout::New,
        package: None,
    };
    let installed = member
        .process(&none.argv())
        .env("PATH", member.path("bin"))
        .output()
        .unwrap();
    assert!(installed.status.success(), "{installed:?}");
    let configcli = member.read("usr/local/bin/configcli");
    assert!(configcli.ends_with(CONFIGCLI_WITHOUT_PYTHON), "{configcli}");
    answers_as_the_resolver_does(&member);
}

/// Asks for keys and members of the sample.
fn answers_as_the_resolver_does(member: &Member) {
    let file = crate::configmeta::sample_file();
    member.write("etc/guestconfig/configmeta.json", &file);
    let meta: Value = serde_json::from_str(&file).unwrap();
    let sorted = |text: &str| {
        let mut words: Vec<String> = text.split(',').map(str::to_owned).collect();
        words.sort();
        words
    };
    let mut keys = Vec::new();
    every_key(&meta, &meta, "", &mut keys);
    assert!(keys.len() > 100, "{}", keys.len());
    // One interpreter per key is slow; every seventh goes by all kinds of places.
    for key in keys.iter().step_by(7) {
        let (well, text) = member.configcli(&["--get", key]);
        let expected = lookup(&meta, key);
        assert_eq!(well, expected.is_ok(), "{key}");
        let expected = expected.map(|it| it.to_string()).unwrap_or_default();
        assert_eq!(sorted(&text), sorted(&expected), "{key}");
    }
    let fqdn = |pod: &str| format!("{pod}.kdhs-s.team.svc.cluster.local");
    let all = format!("{},{},{}", fqdn("sc-0"), fqdn("sw-0"), fqdn("sw-1"));
    for (arguments, expected) in [
        (vec!["--get_all_fqdns"], all.clone()),
        (vec!["--get_local_group_fqdns"], all.clone()),
        (vec!["--get_nodegroup_fqdns", "1"], all),
        (vec!["macro", "node", "--get_self_id"], "1002".to_owned()),
        (vec!["macro", "node", "--get_self_index"], "2".to_owned()),
        (
            vec!["macro", "node", "--get_index", &fqdn("sw-0")],
            "1".to_owned(),
        ),
        (
            vec!["macro", "node", "--get_id", &fqdn("sc-0")],
            "1".to_owned(),
        ),
        (
            vec!["macro", "nodegroup", "--num_nodegroups"],
            "1".to_owned(),
        ),
        (vec!["namespace", "node", "role_id"], "worker".to_owned()),
        (vec!["-v"], "1.0".to_owned()),
        (
            vec!["--service_key", "ssh", "--systemctl", "sshd"],
            String::new(),
        ),
    ] {
        assert_eq!(
            member.configcli(&arguments),
            (true, expected),
            "{arguments:?}"
        );
    }
    for arguments in [
        vec!["--get", "node.nothing"],
        vec!["--get_nodegroup_fqdns", "2"],
        vec!["--wait", "services.ssh"],
        vec!["dance"],
    ] {
        assert!(!member.configcli(&arguments).0, "{arguments:?}");
    }
}

/// Every key that leads somewhere, through one reference.
fn every_key(file: &Value, here: &Value, key: &str, found: &mut Vec<String>) {
    if !key.is_empty() {
        found.push(key.to_owned());
    }
    let below = |name: &str| {
        if key.is_empty() {
            name.to_owned()
        } else {
            format!("{key}.{name}")
        }
    };
    if let Some(path) = here.get("bdvlibrefkey") {
        let path: Vec<String> = serde_json::from_value(path.clone()).unwrap();
        if let Ok(crate::configmeta::Answer::Many(keys)) = lookup(file, &path.join(".")) {
            found.extend(
                keys.iter()
                    .filter(|it| !it.contains('.'))
                    .map(|it| below(it)),
            );
        }
        return;
    }
    for (name, value) in here.as_object().into_iter().flatten() {
        if !name.contains('.') {
            every_key(file, value, &below(name), found);
        }
    }
}

#[test]
fn a_member_says_what_keeps_systemd_from_running() {
    let v1 = "cgroup /sys/fs/cgroup tmpfs ro 0 0\n";
    let mounted = format!("{v1}cgroup /sys/fs/cgroup/systemd cgroup rw,xattr 0 0\n");
    for (first, mounts, expected) in [
        ("sh", "", "the first process of this container is sh"),
        ("systemd", "proc /proc proc rw 0 0\n", "mounts no cgroups"),
        (
            "systemd",
            "cgroup2 /sys/fs/cgroup cgroup2 ro,nosuid 0 0\n",
            "cgroup v2, and this container may only read it",
        ),
        (
            "systemd",
            "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n",
            "systemctl status tells more",
        ),
        ("init", v1, "may not write to /sys/fs/cgroup/systemd"),
        ("init", mounted.as_str(), "systemctl status tells more"),
    ] {
        let member = Member::new();
        member.write("proc/1/comm", &format!("{first}\n"));
        member.write("proc/mounts", mounts);
        let Err(Trouble::Later(told)) = member.ask(&Command::Journald { seconds: 0 }) else {
            // The machine of this test may have a journal of its own.
            return;
        };
        assert!(
            told.starts_with(NO_SYSTEMD) && told.contains(expected),
            "{told}"
        );
    }
}

#[test]
fn the_progress_of_a_copy_is_told_once_it_is_another() {
    let member = Member::new();
    let ask = |known: &str, seconds| {
        let argv = Command::Progress {
            known: known.to_owned(),
            seconds,
        }
        .argv();
        let mut process = Process::new(&argv[0]);
        let output = process
            .args(&argv[1..])
            .env("WINDLASS_ROOT", member.root.path())
            .output()
            .unwrap();
        let code = output.status.code().unwrap();
        Command::Progress {
            known: known.to_owned(),
            seconds,
        }
        .read(code, &output.stdout, &output.stderr)
    };
    let copying = |text: &str| Ok(Reply::Copying(text.to_owned()));
    assert_eq!(ask("", 0), copying(""));
    member.write(
        "mnt/etc/kubedirector-init-progress-bar.log",
        "directory 1 of 2, /etc\n",
    );
    assert_eq!(ask("", 60), copying("directory 1 of 2, /etc"));
    assert_eq!(
        ask("directory 1 of 2, /etc", 0),
        copying("directory 1 of 2, /etc")
    );
}

#[test]
fn what_is_for_another_pod_of_the_name_is_not_done() {
    let member = Member::new();
    let ask = |own: Option<&str>| {
        let command = Command::Prepare {
            layout: Layout::New,
            package: None,
        };
        let argv = command.argv_for(Addressee {
            uid: "u1",
            container: "containerd://c1",
            enters: true,
        });
        let mut process = Process::new(&argv[0]);
        process
            .arg(member.path("opt/windlass/agent"))
            .args(&argv[2..])
            .env("WINDLASS_ROOT", member.root.path());
        match own {
            Some(uid) => process.env("WINDLASS_POD_UID", uid),
            None => process.env_remove("WINDLASS_POD_UID"),
        };
        let output = process.output().unwrap();
        command.read(
            output.status.code().unwrap(),
            &output.stdout,
            &output.stderr,
        )
    };
    let other = ask(Some("u2"));
    assert_eq!(
        other,
        Err(Trouble::Later("another pod has the name now".to_owned()))
    );
    assert!(!member.path("opt/guestconfig").exists());
    assert_eq!(ask(Some("u1")), Ok(Reply::Fine));
    // Pods of an earlier operator do not know their uid.
    assert_eq!(ask(None), Ok(Reply::Fine));
}
