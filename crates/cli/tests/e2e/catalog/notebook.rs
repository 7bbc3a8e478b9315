//! The notebook of the catalog as a virtual cluster: it wants its token, and keeps its files.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::Virtual;
use crate::real::eventually;

#[test]
fn a_notebook_wants_its_token_and_keeps_its_files() {
    let Some(up) = super::embedded() else { return };
    let notebook = Virtual {
        kubectl: &up,
        name: "notebook",
    };
    notebook.apply(|_| (), |_| ());
    notebook.settled("notebook", 1);
    let pod = notebook.pod("notebook", 0);
    let token = "nodegroups.1.roles.notebook.services.jupyter.authToken";
    let token = notebook.in_pod(&pod, &["configcli", "--get", token]);
    let address = address(&notebook, &pod);
    let files = "/api/contents/plan.ipynb";
    for wrong in ["", "?token=wrong"] {
        let answer = ask(&address, "GET", &format!("{files}{wrong}"), "");
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    }
    let files = format!("{files}?token={}", token.trim());
    let cell = json!({
        "cell_type": "code", "source": "1 + 1", "id": "one",
        "metadata": {}, "outputs": [], "execution_count": null,
    });
    let content = json!({ "cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5 });
    let file = json!({ "type": "notebook", "content": content });
    let answer = ask(&address, "PUT", &files, &file.to_string());
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");

    up.kubectl_ok(&["delete", "pod", &pod]);
    notebook.settled("notebook", 1);
    let answer = eventually("the notebook to be back", || {
        let answer = ask(&address, "GET", &files, "");
        answer.starts_with("HTTP/1.1 200").then_some(answer)
    });
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let kept: Value = serde_json::from_str(body).unwrap();
    assert_eq!(kept["content"]["cells"][0]["source"], "1 + 1", "{kept:#}");
}

/// Where the Service of a member answers.
fn address(notebook: &Virtual<'_>, pod: &str) -> String {
    let service = notebook.kubectl.get(&["service", pod]).unwrap();
    format!("{}:8888", service["spec"]["clusterIP"].as_str().unwrap())
}

/// What a server answers, as a whole; nothing where it does not.
fn ask(address: &str, method: &str, path: &str, body: &str) -> String {
    let mut answer = String::new();
    if let Ok(mut stream) = TcpStream::connect(address) {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        // A server that goes away is asked again.
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.read_to_string(&mut answer);
    }
    answer
}
