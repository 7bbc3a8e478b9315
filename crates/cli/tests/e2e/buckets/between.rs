//! What stands between an operator and a store, and kills the operator at a request, or at an answer.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

/// At which point the operator is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// Before the store gets this request, from 1.
    Request(usize),
    /// Before the operator gets the answer to it.
    Answer(usize),
}

/// A way to a store.
pub(super) struct Between {
    port: u16,
    state: Arc<State>,
}

struct State {
    /// Who is killed; 0 for nobody.
    victim: AtomicU32,
    at: At,
    requests: AtomicUsize,
    answers: AtomicUsize,
}

impl Between {
    /// A way to the store at a port.
    pub(super) fn new(store: u16, at: At) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            victim: AtomicU32::new(0),
            at,
            requests: AtomicUsize::new(0),
            answers: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", store)) else {
                    continue;
                };
                connect(client, server, &shared);
            }
        });
        Self { port, state }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The process that is killed.
    pub(super) fn aim(&self, pid: u32) {
        self.state.victim.store(pid, Ordering::SeqCst);
    }

    /// How many requests there were.
    pub(super) fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// Whether it has killed.
    pub(super) fn is_over(&self) -> bool {
        match self.state.at {
            At::Request(at) => self.state.requests.load(Ordering::SeqCst) >= at,
            At::Answer(at) => self.state.answers.load(Ordering::SeqCst) >= at,
        }
    }
}

/// A request of ours is small enough to come in one piece, and an answer begins a new turn.
fn connect(client: TcpStream, server: TcpStream, state: &Arc<State>) {
    let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let turn = Arc::new(AtomicUsize::new(0));
    let (shared, asked) = (Arc::clone(state), Arc::clone(&turn));
    thread::spawn(move || {
        pass(from_client, to_server, || {
            // The head of a request and its body may come apart: they are one until it is answered.
            if asked.swap(1, Ordering::SeqCst) == 0 {
                let count = shared.requests.fetch_add(1, Ordering::SeqCst) + 1;
                shared.kill_if(At::Request(count));
            }
        });
    });
    let shared = Arc::clone(state);
    thread::spawn(move || {
        pass(server, client, || {
            if turn.swap(0, Ordering::SeqCst) == 1 {
                let count = shared.answers.fetch_add(1, Ordering::SeqCst) + 1;
                shared.kill_if(At::Answer(count));
            }
        });
    });
}

impl State {
    fn kill_if(&self, now: At) {
        if self.at == now
            && let Ok(pid) = i32::try_from(self.victim.swap(0, Ordering::SeqCst))
            && let Some(pid) = Pid::from_raw(pid)
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut before: impl FnMut()) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 {
            break;
        }
        before();
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
