//! The walls around a container, and the shim that owns it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use windlass_node::runtime::{
    Life, Limitation, Limits, MemoryVolume, MountSpec, PodSpec, Request, RootSpec, ShimClient,
    UserSpec,
};

use crate::support::{DEADLINE, TestPod, Who, output};

const BOTH: [Who; 2] = [Who::Me, Who::Nobody];
const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

#[tokio::test]
async fn a_container_sees_its_own_machine() {
    for who in BOTH {
        let mut pod = TestPod::start(who).await;
        let script = "hostname; echo $$; ls -A /root /home /tmp /run; echo data > /etc/windlass-test; \
                      echo more > /opt/windlass-test; cat /etc/windlass-test; \
                      touch /bin/../lib/x 2>/dev/null; test -e /proc/2 && echo strangers; \
                      echo ok > /dev/shm/x; cat /dev/null; echo out > /dev/stdout; \
                      (echo no > /sys/x) 2>/dev/null || echo sys is read-only";
        let (ending, text) = pod.run(pod.script("main", script)).await;
        assert_eq!(ending.exit_code, 0, "{who:?}: {ending:?} {text}");
        let text = text.replace("/home:\n\n/root:\n\n/run:\n\n/tmp:\n", "[empty]\n");
        assert_eq!(
            text, "a-pod\n1\n[empty]\ndata\nout\nsys is read-only\n",
            "{who:?}"
        );
        assert!(!Path::new("/etc/windlass-test").exists());
        assert!(!Path::new("/opt/windlass-test").exists());
    }
}

#[tokio::test]
async fn volumes_are_real_mounts_at_real_paths() {
    for who in BOTH {
        let mut pod = TestPod::start(who).await;
        let volume = pod.dir.join("volume");
        fs::create_dir_all(volume.join("sub")).unwrap();
        fs::write(volume.join("file"), "text").unwrap();
        fs::write(pod.dir.join("hosts"), "127.16.0.1 database").unwrap();
        let hosts_before = fs::read_to_string("/etc/hosts").unwrap();
        std::process::Command::new("chmod")
            .arg("-R")
            .arg("a+rwX")
            .arg(&volume)
            .status()
            .unwrap();
        let mount = |target: &str, sub: Option<&str>, read_only| MountSpec {
            source: volume.clone(),
            sub_path: sub.map(PathBuf::from),
            target: PathBuf::from(target),
            read_only,
        };
        let mut spec = pod.script(
            "main",
            "cat /data/file; echo; echo new > /data/written; touch /frozen/x 2>/dev/null || echo frozen; \
             touch /deep/er/still/x; cat /mnt/no/such/place/file; echo; cat /etc/hosts; echo; getent hosts database",
        );
        spec.mounts = vec![
            mount("/deep/er/still", Some("sub/made"), false),
            mount("/data", None, false),
            mount("/frozen", None, true),
            // The machine has the first, and nothing in it.
            mount("/mnt/no/such/place", None, false),
            MountSpec {
                source: pod.dir.join("hosts"),
                sub_path: None,
                target: PathBuf::from("/etc/hosts"),
                read_only: false,
            },
        ];
        let (ending, text) = pod.run(spec).await;
        assert_eq!(ending.exit_code, 0, "{who:?}: {ending:?}");
        assert_eq!(
            text, "text\nfrozen\ntext\n127.16.0.1 database\n127.16.0.1      database\n",
            "{who:?}"
        );
        assert!(volume.join("written").exists() && volume.join("sub/made/x").exists());
        assert_eq!(fs::read_to_string("/etc/hosts").unwrap(), hosts_before);
    }
}

#[tokio::test]
async fn containers_of_a_pod_share_a_memory_volume() {
    for who in BOTH {
        let volume = MemoryVolume {
            path: PathBuf::from("memory"),
            size: Some(1 << 20),
            group: None,
        };
        let spec = PodSpec {
            memory_volumes: vec![volume],
            ..PodSpec::default()
        };
        let mut pod = TestPod::start_with(who, spec).await;
        let mount = MountSpec {
            source: pod.dir.join("memory"),
            sub_path: None,
            target: PathBuf::from("/cache"),
            read_only: false,
        };
        let mut first = pod.script(
            "first",
            "echo shared > /cache/x; df --output=fstype /cache | tail -1",
        );
        first.mounts = vec![mount.clone()];
        assert_eq!(pod.run(first).await.1, "tmpfs\n");
        let mut second = pod.script(
            "second",
            "cat /cache/x; head -c 2000000 /dev/zero > /cache/y",
        );
        second.mounts = vec![mount];
        let (ending, text) = pod.run(second).await;
        assert_eq!(
            (ending.exit_code, text.lines().next()),
            (1, Some("shared")),
            "{text}"
        );
    }
}

#[tokio::test]
async fn what_is_hidden_stays_hidden_and_what_is_exposed_shows() {
    for who in BOTH {
        let mut pod = TestPod::start(who).await;
        let secret = tempfile::tempdir_in("/var/tmp").unwrap();
        let secret_in_etc = PathBuf::from("/etc/alternatives");
        let open = pod.dir.join("open");
        fs::create_dir_all(&open).unwrap();
        fs::write(open.join("tool"), "here").unwrap();
        if who == Who::Nobody {
            // A file of a user the namespace does not know cannot be copied up.
            std::os::unix::fs::chown(open.join("tool"), Some(65534), Some(65534)).unwrap();
        }
        let mut spec = pod.script(
            "main",
            &format!(
                "exec 2>&1; cat {}/tool; echo; ls {} | wc -l; ls -A /etc/alternatives 2>/dev/null | wc -l; \
                 cat /opt/over/tool; echo; echo mine > /opt/over/tool; /opt/hello",
                open.display(),
                secret.path().display()
            ),
        );
        fs::write(secret.path().join("key"), "key").unwrap();
        spec.hidden = vec![secret_in_etc];
        spec.root = RootSpec::Host {
            overlays: vec![(open.clone(), PathBuf::from("/opt/over"))],
            exposed: vec![open.clone()],
            scripts: vec![(
                PathBuf::from("/opt/hello"),
                "#!/bin/sh\necho hello\n".to_owned(),
            )],
            read_only: false,
        };
        let (_, text) = pod.run(spec).await;
        assert_eq!(
            text,
            "here\nls: cannot access '".to_owned()
                + &secret.path().display().to_string()
                + "': No such file or directory\n0\n0\nhere\nhello\n",
            "{who:?}"
        );
        assert_eq!(fs::read_to_string(open.join("tool")).unwrap(), "here");
    }
}

#[tokio::test]
async fn endings_are_reported_as_they_were() {
    for who in BOTH {
        let mut pod = TestPod::start(who).await;
        let table = [
            ("fine", "true", 0, "Completed"),
            ("failed", "exit 3", 3, "Error"),
            ("inner", "sh -c 'kill -9 $$'", 137, "Error"),
        ];
        for (name, script, code, reason) in table {
            let (ending, _) = pod.run(pod.script(name, script)).await;
            assert_eq!(
                (ending.exit_code, ending.reason.as_str()),
                (code, reason),
                "{name}"
            );
        }
        let mut missing = pod.script("missing", "");
        missing.argv = vec!["no-such-program".to_owned()];
        let (ending, _) = pod.run(missing).await;
        assert_eq!(
            (ending.exit_code, ending.reason.as_str()),
            (128, "StartError")
        );
        assert_eq!(
            ending.message,
            "exec: \"no-such-program\": executable file not found in $PATH"
        );
        let mut words = pod.script("words", "echo because > /dev/termination-log; exit 1");
        words.mounts = vec![MountSpec {
            source: words.dir.join("termination-log"),
            sub_path: None,
            target: PathBuf::from("/dev/termination-log"),
            read_only: false,
        }];
        assert_eq!(pod.run(words).await.0.message, "because\n");
    }
}

#[tokio::test]
async fn a_program_is_asked_to_stop_and_then_made_to() {
    for who in BOTH {
        let mut pod = TestPod::start(who).await;
        let polite = pod.script(
            "polite",
            "trap 'exit 7' TERM; echo up; while :; do sleep 0.1; done",
        );
        let stubborn = pod.script("stubborn", "trap '' TERM; sleep 1000 & wait; sleep 1000");
        for spec in [&polite, &stubborn] {
            pod.shim
                .request(Request::Start(Box::new(spec.clone())))
                .await
                .unwrap();
        }
        wait_for_output(&polite.log, "up\n").await;
        pod.until(|state| {
            matches!(state.life("stubborn"), Some(Life::Running { .. })).then_some(())
        })
        .await;
        let signal = |container: &str, signal| Request::Signal {
            container: container.to_owned(),
            attempt: 0,
            signal,
        };
        pod.shim.request(signal("stubborn", SIGTERM)).await.unwrap();
        pod.shim.request(signal("polite", SIGTERM)).await.unwrap();
        assert_eq!(pod.ending("polite").await.exit_code, 7);
        assert!(matches!(
            pod.shim.state().life("stubborn"),
            Some(Life::Running { .. })
        ));
        pod.shim.request(signal("stubborn", SIGKILL)).await.unwrap();
        let ending = pod.ending("stubborn").await;
        assert_eq!((ending.exit_code, ending.signal), (137, Some(9)));
    }
}

#[tokio::test]
async fn too_much_memory_is_reported_as_such() {
    for who in BOTH {
        let mut pod = TestPod::start(who).await;
        // An endless line: the program must hold all of it.
        let mut spec = pod.script("greedy", "exec tail /dev/zero");
        spec.limits = Limits {
            memory: Some(64 << 20),
            ..Limits::default()
        };
        let (ending, _) = pod.run(spec).await;
        assert_eq!(
            (ending.exit_code, ending.reason.as_str()),
            (137, "OOMKilled"),
            "{who:?}"
        );
        assert!(pod.shim.state().containers["greedy"].peak_memory > 0);
    }
}

#[tokio::test]
async fn a_user_of_its_own_needs_the_administrator() {
    let mut pod = TestPod::start(Who::Me).await;
    let mut spec = pod.script(
        "main",
        "id -u; id -g; id -G; echo out > /dev/stdout; grep NoNewPrivs /proc/self/status",
    );
    spec.user = UserSpec {
        uid: Some(185),
        gid: Some(0),
        groups: vec![0, 2000],
        no_new_privileges: true,
        ..UserSpec::default()
    };
    let (_, text) = pod.run(spec).await;
    assert_eq!(text, "185\n0\n0 2000\nout\nNoNewPrivs:\t1\n");

    let pod = TestPod::start(Who::Nobody).await;
    assert!(pod.shim.state().limitations.contains(&Limitation::Users));
}

#[tokio::test]
async fn a_user_of_its_own_reaches_what_is_exposed_in_roots_home_and_can_work() {
    let mut pod = TestPod::start(Who::Me).await;
    let installed = tempfile::tempdir_in("/root").unwrap();
    fs::set_permissions(installed.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(installed.path().join("tool"), "here\n").unwrap();
    let mut spec = pod.script(
        "main",
        &format!(
            "exec 2>&1; cat {}/tool; ls /root; cd /; echo mine > /opt/app/work-dir/file; \
             cat /opt/app/work-dir/file; echo no > /opt/app/file",
            installed.path().display()
        ),
    );
    spec.working_dir = PathBuf::from("/opt/app/work-dir");
    spec.root = RootSpec::Host {
        overlays: vec![],
        exposed: vec![installed.path().to_owned()],
        scripts: vec![],
        read_only: false,
    };
    spec.user = UserSpec {
        uid: Some(185),
        gid: Some(185),
        ..UserSpec::default()
    };
    let (_, text) = pod.run(spec).await;
    let told: Vec<&str> = text.lines().collect();
    assert_eq!(told[0], "here", "{text}");
    assert!(told[1].ends_with("Permission denied"), "{text}");
    assert_eq!(told[2], "mine", "{text}");
    assert!(told[3].ends_with("Permission denied"), "{text}");
}

#[tokio::test]
async fn a_shim_outlives_its_agent_and_forgets_nothing() {
    for who in BOTH {
        let mut pod = TestPod::start(who).await;
        let spec = pod.script(
            "main",
            "echo up; while [ ! -e /signal/go ]; do sleep 0.1; done; echo done; exit 5",
        );
        let signal = pod.dir.join("signal");
        fs::create_dir(&signal).unwrap();
        let mut spec = spec;
        spec.mounts = vec![MountSpec {
            source: signal.clone(),
            sub_path: None,
            target: PathBuf::from("/signal"),
            read_only: true,
        }];
        pod.shim
            .request(Request::Start(Box::new(spec.clone())))
            .await
            .unwrap();
        wait_for_output(&spec.log, "up\n").await;
        let before = pod
            .until(|state| {
                matches!(state.life("main"), Some(Life::Running { .. })).then(|| state.clone())
            })
            .await;
        // The first agent's connection is dropped; its successor finds the same process.
        pod.shim = ShimClient::connect(&pod.dir).await.unwrap();
        assert_eq!(pod.shim.state(), before);
        // Asked again for the same attempt, the shim does not start a second one.
        pod.shim
            .request(Request::Start(Box::new(spec.clone())))
            .await
            .unwrap();
        fs::write(signal.join("go"), "").unwrap();
        assert_eq!(pod.ending("main").await.exit_code, 5);
        assert_eq!(output(&spec.log), "up\ndone\n");
        assert!(pod.exe().exists());
    }
}

async fn wait_for_output(log: &Path, text: &str) {
    let wait = async {
        while output(log) != text {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap();
}
