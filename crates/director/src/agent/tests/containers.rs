//! Containers of one pod that follow each other, while commands for the one come to the other.

use super::*;

const LATER: &str = "another container runs now, and is not set up yet";

/// The first process of this member's container is one that was started at this time.
fn start(member: &Member, at: u32) {
    let before = "1 (a (b) c) S 0 1 1 0 -1 4194560 90 0 0 0 0 0 0 0 20 0 1 0";
    member.write("proc/1/stat", &format!("{before} {at} 2973696 370 0\n"));
    member.write("proc/sys/kernel/random/boot_id", "11111111-2222\n");
}

/// The same with nothing of what was written outside of its storage.
fn restart(member: &Member, at: u32, keeps: bool) {
    if !keeps {
        fs::remove_dir_all(member.path("opt/guestconfig")).unwrap();
    }
    start(member, at);
}

impl Member {
    fn told(&self, container: &str, enters: bool, command: &Command) -> Result<Reply, Trouble> {
        let to = Addressee {
            uid: "u",
            container,
            enters,
        };
        let output = self.process(&command.argv_for(to)).output().unwrap();
        let code = output.status.code().unwrap_or(-1);
        command.read(code, &output.stdout, &output.stderr)
    }

    /// What sets it up, as for this container, of which these are the first.
    fn set_up(&self, container: &str, commands: usize) -> Result<Reply, Trouble> {
        let source = self.path("package.tgz").to_str().unwrap().to_owned();
        let meta = Command::Meta {
            pod: "w-0".to_owned(),
            generation: 1,
            seconds: 0,
        };
        let all = [meta, prepare(&source, None), configure(container)];
        let mut last = Ok(Reply::Fine);
        for (number, command) in all.iter().take(commands).enumerate() {
            last = self.told(container, number == 0, command);
            if last != Ok(Reply::Fine) {
                break;
            }
        }
        last
    }
}

fn configure(container: &str) -> Command {
    let Command::Run(mut hook) = run(What::Configure, "configure", 30, &["--configure"]) else {
        panic!();
    };
    hook.container = container.to_owned();
    hook.memo = None;
    Command::Run(hook)
}

fn member() -> Member {
    let member = Member::new();
    member.package("app", SCRIPT_THAT_NOTES);
    member.mount(1);
    start(&member, 100);
    member
}

#[test]
fn a_container_that_comes_between_two_commands_is_not_taken_for_the_one_before() {
    for keeps in [false, true] {
        for before in 1..3 {
            let member = member();
            assert_eq!(member.set_up("x://a", before), Ok(Reply::Fine));
            restart(&member, 200, keeps);
            let later = Err(Trouble::Later(LATER.to_owned()));
            assert_eq!(member.told("x://a", false, &configure("x://a")), later);
            let add = run(What::Startscript, "n1-0", 30, &["--addnodes"]);
            assert_eq!(member.told("x://a", false, &add), later);
            assert_eq!(member.calls(), Vec::<String>::new());
            // It is set up like any other once it is known.
            assert_eq!(ended(member.set_up("x://b", 3)).code, 0);
            assert_eq!(member.calls(), ["--configure"]);
            assert_eq!(member.read("opt/guestconfig/configure.status"), "x://b=0");
        }
    }
}

#[test]
fn a_container_that_was_taken_for_the_one_before_is_set_up_once_and_known_by_both_names() {
    let member = member();
    assert_eq!(ended(member.set_up("x://a", 3)).memo, "memo of 1");
    let add = |container: &str| {
        let hook = run(What::Startscript, "n1-0", 30, &["--addnodes"]);
        member.told(container, false, &hook)
    };
    assert_eq!(ended(add("x://a")).code, 0);
    // Its status tells of it only now; it knows what it was told meanwhile.
    assert!(matches!(add("x://b"), Err(Trouble::Later(_))));
    assert_eq!(ended(member.set_up("x://b", 3)).memo, "told n1-0");
    assert_eq!(ended(add("x://b")).code, 0);
    // A view of yesterday takes nothing away.
    assert_eq!(ended(member.set_up("x://a", 3)).memo, "told n1-0");
    assert_eq!(ended(add("x://b")).code, 0);
    assert_eq!(member.calls(), ["--configure", "--addnodes"]);
}

#[test]
fn a_container_gets_another_name_only_when_no_script_runs_that_was_begun_for_the_first() {
    let member = member();
    ended(member.set_up("x://a", 3));
    let slow = "#!/bin/sh\necho \"$1\" >>\"$WINDLASS_ROOT/calls\"\n\
        while [ ! -e \"$WINDLASS_ROOT/go\" ]; do sleep 0.05; done\n";
    member.write("opt/guestconfig/app/startscript", slow);
    let add = |seconds| run(What::Startscript, "n1-0", seconds, &["--addnodes"]);
    assert_eq!(member.told("x://a", false, &add(0)), Ok(Reply::Running));
    let waits = member.set_up("x://b", 3);
    assert!(matches!(&waits, Err(Trouble::Later(told)) if told.contains("a script runs")));
    member.write("go", "");
    assert_eq!(ended(member.told("x://a", false, &add(30))).code, 0);
    assert_eq!(ended(member.set_up("x://b", 3)).memo, "told n1-0");
    assert_eq!(member.calls(), ["--configure", "--addnodes"]);
}

#[test]
fn what_an_earlier_agent_has_set_up_goes_on() {
    let member = member();
    ended(member.set_up("x://a", 3));
    for entry in fs::read_dir(member.path("opt/guestconfig/.windlass")).unwrap() {
        let path = entry.unwrap().path();
        if path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("in-")
        {
            fs::remove_dir_all(path).unwrap();
        }
    }
    let add = run(What::Startscript, "n1-0", 30, &["--addnodes"]);
    assert_eq!(ended(member.told("x://a", false, &add)).code, 0);
    restart(&member, 200, true);
    let later = Err(Trouble::Later(LATER.to_owned()));
    assert_eq!(member.told("x://a", false, &add), later);
}
