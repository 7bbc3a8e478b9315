//! The one writer: a thread that turns whatever has queued up into one durable transaction.
//!
//! Laws:
//! - changes are made one after the other, each seeing what those before it did;
//! - nobody hears that something was done before it is synchronised, and the bytes before what names them;
//! - bytes whose change may or may not be in the file stay until the file says which.

use std::fmt;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::blobs::Draft;
use crate::index::{Change, IndexFile, Refused};
use crate::rows::BlobId;

/// More than this in one transaction would only delay the first in line.
const BATCH: usize = 256;

/// Makes a change, or refuses it where nothing can be changed.
type Make = Box<dyn FnOnce(Result<&mut Change<'_>, Refused>) -> Made + Send>;

/// A change that somebody wants.
struct Job {
    has_drafts: bool,
    make: Make,
}

/// What became of a change, before it is synchronised.
struct Made {
    /// Whether the disk failed at it, and with it at the whole transaction.
    failed: Option<Refused>,
    /// Tells who waits how the transaction ended, and returns the bytes of which nobody knows whether they
    /// are named.
    settle: Box<dyn FnOnce(Result<(), Refused>) -> Vec<Draft> + Send>,
}

enum Command {
    Change(Job),
    Stop,
}

/// The handle to the thread.
pub(crate) struct Writer {
    // Unbounded: every sender waits for its answer, so there are never more of them than requests.
    commands: mpsc::UnboundedSender<Command>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    pub(crate) fn start(file: Arc<IndexFile>) -> Result<Self, Refused> {
        let (commands, receiver) = mpsc::unbounded_channel();
        let thread = thread::Builder::new()
            .name("s3-writer".to_owned())
            .spawn(move || run(&file, receiver))?;
        Ok(Self {
            commands,
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(crate) async fn change<T: Send + 'static>(
        &self,
        drafts: Vec<Draft>,
        change: impl FnOnce(&mut Change<'_>) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let (sender, receiver) = oneshot::channel();
        let job = Job {
            has_drafts: !drafts.is_empty(),
            make: Box::new(move |tables| {
                let result = tables.and_then(change);
                let failed = result.as_ref().err().filter(|it| it.is_of_the_disk());
                Made {
                    failed: failed.cloned(),
                    settle: Box::new(move |ended| {
                        let mut in_doubt = Vec::new();
                        let answer = match (result, ended) {
                            // Nothing names them, and they go.
                            (Err(refused), _) => Err(refused),
                            (Ok(done), Ok(())) => {
                                drafts.into_iter().for_each(Draft::keep);
                                Ok(done)
                            }
                            (Ok(_), Err(refused)) => {
                                in_doubt = drafts;
                                Err(refused)
                            }
                        };
                        // Whoever asked may be gone; what was done is done.
                        let _ = sender.send(answer);
                        in_doubt
                    }),
                }
            }),
        };
        let closed = || Refused::Disk("the endpoint is being stopped".to_owned());
        self.commands
            .send(Command::Change(job))
            .map_err(|_| closed())?;
        receiver.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Writes what has queued up, and ends.
    pub(crate) fn stop(&self) {
        // A failed send means that the thread has ended already.
        let _ = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the writer of the S3 endpoint ended by a panic");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(file: &IndexFile, mut commands: mpsc::UnboundedReceiver<Command>) {
    let mut in_doubt = Vec::new();
    let mut is_over = false;
    while !is_over {
        let Some(first) = commands.blocking_recv() else {
            break;
        };
        let mut jobs = Vec::new();
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Change(job) => jobs.push(job),
                Command::Stop => {
                    is_over = true;
                    break;
                }
            }
            next = if jobs.len() < BATCH {
                commands.try_recv().ok()
            } else {
                None
            };
        }
        in_doubt.extend(carry_out(file, jobs));
        resolve(file, &mut in_doubt);
    }
    // The next start sweeps what nothing names.
    in_doubt.into_iter().for_each(Draft::keep);
}

/// Makes changes, and returns the bytes of which nobody knows whether they are named.
fn carry_out(file: &IndexFile, jobs: Vec<Job>) -> Vec<Draft> {
    let has_drafts = jobs.iter().any(|it| it.has_drafts);
    let mut jobs = jobs.into_iter();
    let mut made = Vec::new();
    let ended = transact(file, has_drafts, &mut jobs, &mut made);
    if let Err(error) = &ended {
        tracing::error!("{error}; until then writes are refused, and what is stored can be read");
        file.give_up();
        made.extend(jobs.map(|it| (it.make)(Err(error.clone()))));
    }
    let ended = ended.map(|freed| file.shelf.let_go(freed));
    let settled = made.into_iter().map(|it| (it.settle)(ended.clone()));
    settled.flatten().collect()
}

/// One transaction; returns what nothing names after it.
fn transact(
    file: &IndexFile,
    has_drafts: bool,
    jobs: &mut impl Iterator<Item = Job>,
    made: &mut Vec<Made>,
) -> Result<Vec<BlobId>, Refused> {
    let transaction = file.database()?.begin_write()?;
    let mut tables = Change::in_transaction(&transaction)?;
    made.extend(jobs.map(|it| (it.make)(Ok(&mut tables))));
    let (freed, has_written) = (std::mem::take(&mut tables.freed), tables.has_written);
    drop(tables);
    if let Some(failed) = made.iter().find_map(|it| it.failed.clone()) {
        return Err(failed);
    }
    if has_written {
        if has_drafts {
            file.shelf.keep_names()?;
        }
        transaction.commit()?;
    } else {
        transaction.abort()?;
    }
    Ok(freed)
}

/// Lets go of bytes that nothing names, once the file says so.
fn resolve(file: &IndexFile, in_doubt: &mut Vec<Draft>) {
    for draft in std::mem::take(in_doubt) {
        match file.names(draft.id()) {
            Ok(true) => draft.keep(),
            Ok(false) => drop(draft),
            Err(_) => in_doubt.push(draft),
        }
    }
}
