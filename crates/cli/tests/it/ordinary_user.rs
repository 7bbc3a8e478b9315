//! `windlass run` without privileges.

use std::fs;

use crate::machine::Machine;

#[test]
fn an_ordinary_users_run_ends_with_the_jobs_result_and_leaves_nothing() {
    let machine = Machine::new();
    for (name, text, code) in [
        ("good.py", "print('computed')", 0),
        (
            "bad.py",
            "print('computed', flush=True); raise ValueError('10 is too much')",
            1,
        ),
    ] {
        let job = machine.write(name, text);
        let answer = machine.windlass(&["run", "--progress", "plain", &job]);
        assert_eq!(answer.code, code, "{}\n{}", answer.stdout, answer.stderr);
        assert!(answer.stdout.contains("computed"), "{}", answer.stdout);
        assert!(!answer.stderr.contains("windlass:"), "{}", answer.stderr);
        let told = answer.stderr.contains("ValueError: 10 is too much");
        assert_eq!(told, code == 1, "{}", answer.stderr);
        let left: Vec<_> = fs::read_dir(machine.path("tmp")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_driver_is_told_where_the_api_is_when_its_usual_port_takes_privileges() {
    let machine = Machine::new();
    let job = machine.write("job.py", "");
    let answer = machine.windlass(&["run", &job]);
    assert_eq!(answer.code, 0, "{}\n{}", answer.stdout, answer.stderr);
    let told = answer.stdout.contains("spark.kubernetes.driver.master=");
    let first_free: u16 = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .map_or(1024, |text| text.trim().parse().expect("a port"));
    assert_eq!(told, first_free > 443, "{}", answer.stdout);
}
