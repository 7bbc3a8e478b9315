//! What is asked on and on.

use super::*;

#[test]
fn a_question_is_asked_as_often_as_asked_and_leaves_nothing_behind() {
    let member = Member::prepared();
    let ask = |seconds: u32| {
        Command::Ask(Ask {
            what: What::Startscript,
            seconds,
            log_limit: 64,
            arguments: vec!["--demand".to_owned(), "a b".to_owned()],
        })
    };
    for _ in 0..2 {
        let said = Reply::Said("out of --demand\n".to_owned());
        assert_eq!(member.ask(&ask(30)), Ok(said));
    }
    assert_eq!(member.calls(), ["--demand a b", "--demand a b"]);
    member.write("code", "3");
    let told = Trouble::Later("it ended with 3: err of --demand".to_owned());
    assert_eq!(member.ask(&ask(30)), Err(told));
    let slow = "#!/bin/sh\necho waits >&2\nexec sleep 60\n";
    member.write("opt/guestconfig/app/startscript", slow);
    let told = Trouble::Later("there was no answer within 1 s: waits".to_owned());
    assert_eq!(member.ask(&ask(1)), Err(told));
    let left = fs::read_dir(member.path("opt/guestconfig/.windlass")).unwrap();
    let left: Vec<String> = left
        .map(|it| it.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("ask"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
    let none = Command::Ask(Ask {
        what: What::Program,
        seconds: 30,
        log_limit: 64,
        arguments: vec!["/no/such/program".to_owned()],
    });
    assert!(matches!(member.ask(&none), Err(Trouble::Later(_))));
}
