//! The probe of several services, with sockets, pages and commands.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use super::*;

/// A port where each connection is answered by this.
fn served(answer: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap());
        }
    });
    port
}

/// Says this once it was asked something.
fn saying(text: &'static [u8]) -> u16 {
    served(move |mut stream| {
        let mut asked = [0; 4096];
        let _ = stream.read(&mut asked);
        let _ = stream.write_all(text);
    })
}

/// A frame of HTTP/2 on the first stream, or on none.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let head = [0, 0, length, kind, flags, 0, 0, 0, stream];
    [&head[..], payload].concat()
}

/// A server of gRPC that notes the last thing it was asked, and answers with these frames.
fn grpc(frames: Vec<u8>, asked: PathBuf) -> u16 {
    served(move |mut stream| {
        let mut all = Vec::new();
        let mut some = [0; 4096];
        while !is_whole(&all) {
            let read = stream.read(&mut some).unwrap();
            assert!(read > 0, "{all:?}");
            all.extend_from_slice(&some[..read]);
        }
        fs::write(&asked, &all).unwrap();
        let _ = stream.write_all(&frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]));
        let _ = stream.write_all(&frames);
    })
}

/// Whether the question has come: it is over with a frame of data that ends its stream.
fn is_whole(asked: &[u8]) -> bool {
    let kind = asked.windows(5).position(|it| it == [0, 1, 0, 0, 0]);
    kind.is_some_and(|at| asked.len() >= at + 6 + usize::from(asked[at - 1]))
}

fn said(status: &[u8]) -> Vec<u8> {
    let length = u8::try_from(status.len()).unwrap();
    let message = [&[0, 0, 0, 0, length][..], status].concat();
    [frame(1, 4, 1, &[0x88]), frame(0, 0, 1, &message)].concat()
}

impl Member {
    /// Runs the probe: whether all is well, and what it says.
    fn probe(&self, checks: &[&[&str]]) -> (bool, String) {
        self.write("opt/windlass/probe", PROBE);
        let output = Process::new("sh")
            .arg(self.path("opt/windlass/probe"))
            .args(checks.iter().flat_map(|it| it.iter()))
            .env_remove("POD_IP")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.stderr, b"", "{text}");
        (output.status.success(), text)
    }
}

#[test]
fn a_probe_holds_while_all_its_checks_do_and_tells_of_those_that_do_not() {
    let member = Member::new();
    let open = served(|_| {}).to_string();
    let page = saying(b"HTTP/1.1 204 No Content\r\n\r\n").to_string();
    let moved = saying(b"HTTP/1.0 302\r\n").to_string();
    let missing = saying(b"HTTP/1.1 404 Not Found\r\n\r\n").to_string();
    let nonsense = saying(b"220 mail\r\n").to_string();
    let mute = served(|stream| {
        thread::park();
        drop(stream);
    });
    let mute = mute.to_string();
    let well: &[&[&str]] = &[
        &["a", "5", "tcp", "1", &open],
        &["b", "5", "http", "3", "http", &page, "/a?b=c&d"],
        &["c", "5", "http", "3", "http", &moved, "/"],
        &[
            "d",
            "5",
            "exec",
            "4",
            "sh",
            "-c",
            "test \"$0\" = 'a b'",
            "a b",
        ],
        &["e", "5", "exec", "1", "true"],
    ];
    assert_eq!(member.probe(well), (true, String::new()));
    let (holds, told) = member.probe(&[
        &[
            "z",
            "5",
            "exec",
            "3",
            "sh",
            "-c",
            "echo no; echo disk is full >&2; exit 3",
        ],
        &["a", "5", "tcp", "1", "1"],
        well[0],
        &["b", "5", "http", "3", "http", &missing, "/health"],
        &["c", "5", "http", "3", "http", &nonsense, "/"],
        &["d", "1", "http", "3", "http", &mute, "/"],
        // What it has started ends with it.
        &["e", "1", "exec", "3", "sh", "-c", "sleep 100 & sleep 100"],
    ]);
    assert!(!holds);
    let told = told
        .replace(&missing, "PORT")
        .replace(&nonsense, "PORT")
        .replace(&mute, "PORT");
    insta::assert_snapshot!(told);
}

#[test]
fn the_health_service_of_grpc_is_asked_in_the_shell() {
    let member = Member::new();
    let long = "s".repeat(200);
    let refused = frame(1, 5, 1, &[0x88]);
    let mut told = String::new();
    for (service, frames) in [
        ("", said(&[8, 1])),
        ("data", said(&[8, 1])),
        (&long, said(&[8, 1])),
        ("data", said(&[8, 2])),
        ("data", said(&[8, 3])),
        ("", said(&[])),
        ("other", refused),
        ("", frame(7, 0, 0, &[0; 8])),
        ("", Vec::new()),
    ] {
        let asked = member.path("asked");
        let port = grpc(frames, asked.clone()).to_string();
        let (holds, text) = member.probe(&[
            &["rpc", "5", "grpc", "2", &port, service],
            &["e", "5", "exec", "1", "true"],
        ]);
        let bytes = fs::read(asked).unwrap();
        assert!(bytes.ends_with(service.as_bytes()));
        let service = service.get(..10).unwrap_or(service);
        told += &format!(
            "{service:?}: {holds} {}\n",
            text.trim().replace(&port, "PORT")
        );
    }
    insta::assert_snapshot!(told);
}

#[test]
fn an_image_without_bash_is_told_of() {
    let member = Member::new();
    member.write("opt/windlass/probe", PROBE);
    let output = Process::new("/bin/sh")
        .arg(member.path("opt/windlass/probe"))
        .args(["a", "5", "exec", "1", "true"])
        .env("PATH", member.path("nowhere"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.starts_with("the image has no bash"), "{told}");
}
