//! Plain Linux of the catalog as a virtual cluster: machines that know each other and keep homes.

use serde_json::json;

use super::Virtual;
use crate::real::eventually;

#[test]
fn machines_know_each_other_and_keep_their_homes() {
    let Some(up) = super::embedded() else { return };
    let linux = Virtual {
        kubectl: &up,
        name: "linux",
    };
    linux.apply(
        |_| (),
        |role| role["imageRepoTag"] = json!("local/host:latest"),
    );
    linux.settled("machine", 2);
    knows(&linux, 0, 2);
    knows(&linux, 1, 2);
    let first = linux.pod("machine", 0);
    let write = "echo mine >/root/note && hostname >/home/name";
    linux.in_pod(&first, &["sh", "-c", write]);

    linux.kubectl.kubectl_ok(&["delete", "pod", &first]);
    linux.settled("machine", 2);
    let files = ["cat", "/root/note", "/home/name"];
    assert_eq!(linux.in_pod(&first, &files), format!("mine\n{first}\n"));

    for members in [3, 1] {
        linux.resize("machine", members);
        linux.settled("machine", members);
        (0..members).for_each(|it| knows(&linux, it, members));
    }
}

/// A machine knows so many, each by a name that leads to it.
fn knows(linux: &Virtual<'_>, ordinal: usize, members: usize) {
    let pod = linux.pod("machine", ordinal);
    let names: Vec<String> = (0..members).map(|it| linux.pod("machine", it)).collect();
    eventually(&format!("{pod} to know {names:?}"), || {
        let hosts = "while read -r it; do getent hosts \"$it\" >/dev/null && echo \"$it\"; done";
        let hosts = format!("{hosts} </etc/members");
        let known = linux.in_pod(&pod, &["sh", "-c", &hosts]);
        let known: Vec<&str> = known
            .lines()
            .filter_map(|it| it.split('.').next())
            .collect();
        (known == names).then_some(())
    });
}
