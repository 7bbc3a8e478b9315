//! A `windlass ui`, as somebody with a browser uses it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{Up, until};

const PATIENCE: Duration = Duration::from_mins(2);

/// A `windlass ui`, and the page that it leads to.
pub(crate) struct Page {
    command: Child,
    address: String,
    /// Where on it.
    pub(crate) path: String,
}

impl Page {
    /// Of an application, by its name.
    pub(crate) fn of(up: &Up, name: &str) -> Self {
        Self::that_leads(up, &["ui", name, "--no-browser"])
    }

    /// Of a command that prints a URL and leads there.
    pub(crate) fn that_leads(up: &Up, arguments: &[&str]) -> Self {
        let mut command = up
            .command(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        let mut stdout = BufReader::new(command.stdout.take().unwrap());
        stdout.read_line(&mut url).unwrap();
        let rest = url.trim().strip_prefix("http://");
        let (address, path) = rest.and_then(|rest| rest.split_once('/')).expect("a URL");
        Self {
            command,
            address: address.to_owned(),
            path: format!("/{path}"),
        }
    }

    /// What is at a path; the server leads elsewhere while it reads an event log for the first time.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut path = path.to_owned();
        for _ in 0..5 {
            let mut stream = TcpStream::connect(&self.address).unwrap();
            let host = &self.address;
            write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let elsewhere = head
                .lines()
                .find_map(|line| line.strip_prefix("Location: "));
            let Some(elsewhere) = elsewhere else {
                assert!(head.contains(" 200 "), "{path}: {head}");
                return body.to_owned();
            };
            let origin = format!("http://{}", self.address);
            let place = elsewhere.strip_prefix(&origin).unwrap_or(elsewhere);
            place.trim().clone_into(&mut path);
        }
        panic!("the server leads on and on, at last to {path}");
    }

    /// The application as Spark calls it, once its page and its stages were there; `name` is on the page.
    pub(crate) fn id_of(&self, name: &str) -> String {
        let id = self.path.strip_prefix("/history/").expect("its own page");
        let id = id.trim_end_matches('/').to_owned();
        let page = self.get(&format!("{}jobs/", self.path));
        assert!(page.contains(name), "{page}");
        let stages = self.get(&format!("/api/v1/applications/{id}/stages"));
        let stages: Value = serde_json::from_str(&stages).unwrap();
        assert!(!stages.as_array().unwrap().is_empty(), "{stages}");
        id
    }

    /// Ends it, as a person does.
    pub(crate) fn interrupt(mut self) {
        self.ask_to_end();
        assert!(self.command.wait().unwrap().success());
    }

    /// Waits until it ends with this code.
    pub(crate) fn ends_by_itself(mut self, code: i32) {
        let ended = until("the command to end", PATIENCE, || {
            self.command.try_wait().unwrap()
        });
        assert_eq!(ended.code(), Some(code));
    }

    fn ask_to_end(&self) {
        let pid = rustix::process::Pid::from_raw(self.command.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    }
}

impl Drop for Page {
    /// A command that is killed would leave its server.
    fn drop(&mut self) {
        if let Ok(None) = self.command.try_wait() {
            self.ask_to_end();
            let _ = self.command.wait();
        }
    }
}
