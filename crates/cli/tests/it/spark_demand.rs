//! How many workers standalone Spark has a use for, by what its master shows.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::thread;

use serde_json::{Value, json};

use crate::common::root;

/// An application: cores at most, cores that it has, executors at most, executors that it has, and MiB of
/// each. What is no number has no limit.
struct App(&'static str, u32, &'static str, u32, u32);

/// A master with workers of so many cores and MiB, and with applications.
fn asked(workers: &[(u32, u32)], apps: &[App], drivers: &[u32]) -> String {
    let workers = workers
        .iter()
        .map(|(cores, memory)| json!({ "cores": cores, "memory": memory, "state": "ALIVE" }));
    let dead = json!({ "cores": 64, "memory": 64_000, "state": "DEAD" });
    let named = apps.iter().enumerate().map(|(index, app)| {
        let id = format!("app-2026-000{index}");
        (id, app)
    });
    let active = named.clone().map(|(id, app)| {
        json!({ "id": id, "name": "sums", "cores": app.1, "memoryperexecutor": app.4, "state": "RUNNING" })
    });
    let drivers = drivers
        .iter()
        .map(|cores| json!({ "cores": cores, "memory": 100 }));
    let master = json!({
        "status": "ALIVE",
        "workers": workers.chain([dead]).collect::<Vec<Value>>(),
        "activeapps": active.collect::<Vec<Value>>(),
        "activedrivers": drivers.collect::<Vec<Value>>(),
    });
    let mut pages = BTreeMap::from([("/json/".to_owned(), master.to_string())]);
    pages.extend(named.map(|(id, app)| (format!("/app/?appId={id}"), page(app))));
    ask(serve(pages))
}

/// As the master's page of an application has it, from 3.5 to 4.3.
fn page(App(most, granted, limit, running, _): &App) -> String {
    let left = match most.parse::<u32>() {
        Ok(most) => format!(", {} left", most - granted),
        Err(_) => String::new(),
    };
    format!(
        "<li><strong>Name:</strong> sums</li>\n<li><strong>Cores:</strong>\n   {most} ({granted} granted{left})\n\
         </li>\n<li><span data-bs-toggle=\"tooltip\" title=\"Maximum number of executors that this\n   \
         application will use.\">\n  <strong>Executor Limit: </strong>\n  {limit}\n  ({running} granted)\n</span></li>"
    )
}

fn serve(pages: BTreeMap<String, String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let request = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            let path = request.split(' ').nth(1).unwrap();
            let (status, body) = match pages.get(path) {
                Some(body) => ("200 OK", body.as_str()),
                None => ("404 Not Found", ""),
            };
            write!(stream, "HTTP/1.0 {status}\r\n\r\n{body}").unwrap();
        }
    });
    address
}

fn ask(master: SocketAddr) -> String {
    let script = root().join("catalog/spark/package/demand.py");
    let output = Command::new("python3")
        .arg("-B")
        .arg(script)
        .arg(format!("http://{master}"))
        .output()
        .unwrap();
    let (out, err) = (output.stdout, output.stderr);
    if output.status.success() {
        let answer: Value = serde_json::from_slice(&out).unwrap();
        let message = answer["message"].as_str().unwrap();
        format!("{}: {message}", answer["members"])
    } else {
        format!("failed: {}", String::from_utf8(err).unwrap().trim())
    }
}

#[test]
fn demand_is_what_applications_have_and_wait_for() {
    const NO: &str = "Unlimited";
    let two_cores = [(2, 2048)];
    let rows = [
        ("nothing runs", asked(&two_cores, &[], &[])),
        (
            "all is granted",
            asked(&two_cores, &[App("2", 2, NO, 2, 512)], &[]),
        ),
        (
            "some wait",
            asked(&two_cores, &[App("5", 2, NO, 2, 512)], &[]),
        ),
        (
            "all of it waits",
            asked(&two_cores, &[App("5", 0, NO, 0, 512)], &[]),
        ),
        (
            "one has no limit",
            asked(&two_cores, &[App(NO, 2, NO, 1, 512)], &[]),
        ),
        (
            "one has no limit, and another one waits",
            asked(
                &two_cores,
                &[App(NO, 2, NO, 1, 512), App(NO, 0, NO, 0, 512)],
                &[],
            ),
        ),
        (
            "dynamic allocation",
            asked(&two_cores, &[App(NO, 1, "5", 1, 512)], &[]),
        ),
        (
            "dynamic allocation within a number of cores",
            asked(&two_cores, &[App("3", 1, "9", 1, 512)], &[]),
        ),
        (
            "dynamic allocation lets go",
            asked(&two_cores, &[App(NO, 2, "0", 2, 512)], &[]),
        ),
        (
            "memory has no room for as many as cores have",
            asked(&two_cores, &[App("4", 1, NO, 1, 1500)], &[]),
        ),
        (
            "executors of three cores on workers of four",
            asked(&[(4, 4096)], &[App("12", 3, NO, 1, 512)], &[]),
        ),
        (
            "it fits nowhere",
            asked(&two_cores, &[App("4", 0, NO, 0, 9000)], &[]),
        ),
        (
            "two share a worker",
            asked(
                &[(4, 4096)],
                &[App("2", 2, NO, 1, 512), App("2", 2, NO, 1, 512)],
                &[],
            ),
        ),
        (
            "drivers run on workers",
            asked(&two_cores, &[], &[1, 1, 1, 9]),
        ),
        (
            "there is no worker",
            asked(&[], &[App("4", 0, NO, 0, 512)], &[1]),
        ),
        (
            "there is no worker, and no use for one",
            asked(&[], &[], &[]),
        ),
        ("a page of another time", {
            let master = json!({
                "status": "ALIVE", "workers": [{ "cores": 1, "memory": 1, "state": "ALIVE" }],
                "activeapps": [{ "id": "app-1", "name": "x" }], "activedrivers": [],
            });
            ask(serve(BTreeMap::from([
                ("/json/".to_owned(), master.to_string()),
                ("/app/?appId=app-1".to_owned(), "Cores: many".to_owned()),
            ])))
        }),
        ("a master that waits", {
            let master = json!({ "status": "RECOVERING" }).to_string();
            ask(serve(BTreeMap::from([("/json/".to_owned(), master)])))
        }),
        ("no master", ask(serve(BTreeMap::new()))),
    ];
    let lines = rows.map(|(what, told)| format!("{what}: {told}"));
    insta::assert_snapshot!(lines.join("\n"));
}
