//! Reading containers' logs back: tail, since, follow, as the `log` subresource promises.
//!
//! The format is the one [`crate::shim`] writes; a file may grow and be rotated while it is read.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use tokio::sync::mpsc;
use windlass_streaming::backend::{BackendError, LogOptions};

use crate::shim::rotated;

/// How often a followed log is looked at.
const POLL: Duration = Duration::from_millis(50);
/// How many chunks wait for a slow reader; the file holds the rest.
const QUEUE: usize = 64;
/// A chunk is sent when it has grown to this size.
const CHUNK: usize = 32 << 10;

/// What to read, decided from the request's options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogQuery {
    follow: bool,
    timestamps: bool,
    tail: Option<usize>,
    since: Option<Timestamp>,
    limit: Option<usize>,
}

impl LogQuery {
    /// Checks the options.
    pub(crate) fn new(options: &LogOptions, now: Timestamp) -> Result<Self, BackendError> {
        let since_time = options
            .since_time
            .as_deref()
            .map(|text| {
                text.parse::<Timestamp>().map_err(|error| {
                    BackendError::BadRequest(format!("sinceTime {text:?} is not a time: {error}"))
                })
            })
            .transpose()?;
        let since_seconds = options.since_seconds.map(|seconds| {
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            now.checked_sub(jiff::SignedDuration::from_secs(seconds))
                .unwrap_or(Timestamp::MIN)
        });
        Ok(Self {
            follow: options.follow,
            timestamps: options.timestamps,
            tail: options
                .tail_lines
                .map(|lines| usize::try_from(lines).unwrap_or(usize::MAX)),
            since: since_time.max(since_seconds),
            limit: options
                .limit_bytes
                .map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        })
    }
}

/// Reads a log. `ended` says whether nothing more will be written.
pub(crate) fn read(
    path: PathBuf,
    query: LogQuery,
    ended: impl Fn() -> bool + Send + 'static,
) -> BoxStream<'static, Result<Bytes, BackendError>> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let mut out = Output {
            sender,
            buffer: Vec::new(),
            left: query.limit,
            in_line: false,
        };
        // The reader's absence ends the work; there is nobody to tell.
        let _ = copy(&path, &query, ended, &mut out).await;
        let _ = out.flush().await;
    });
    receiver_stream(receiver).boxed()
}

fn receiver_stream<T>(receiver: mpsc::Receiver<T>) -> impl Stream<Item = T> {
    futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|item| (item, receiver))
    })
}

/// The last lines of a log, for termination messages.
pub(crate) fn last_lines(path: &Path, lines: usize, bytes: usize) -> Vec<u8> {
    let mut kept: VecDeque<Vec<u8>> = VecDeque::new();
    let mut cursor = Cursor::open(path);
    while let Ok(Some(record)) = cursor.next() {
        kept.push_back(record.render(false));
        if kept.len() > lines {
            kept.pop_front();
        }
    }
    let text: Vec<u8> = kept.into_iter().flatten().collect();
    text[text.len().saturating_sub(bytes)..].to_vec()
}

/// Why copying stopped early.
enum Stop {
    /// The reader has gone, or has had as much as it wanted.
    Enough,
}

async fn copy(
    path: &Path,
    query: &LogQuery,
    ended: impl Fn() -> bool,
    out: &mut Output,
) -> Result<(), Stop> {
    let mut cursor = Cursor::open(path);
    let wanted = |record: &Record| query.since.is_none_or(|since| record.time >= since);
    if let Some(tail) = query.tail {
        let mut kept: VecDeque<Record> = VecDeque::new();
        let mut lines = 0;
        while let Some(record) = out.step(cursor.next()).await? {
            if !wanted(&record) {
                continue;
            }
            lines += usize::from(record.whole);
            kept.push_back(record);
            while lines > tail
                && kept.pop_front().is_some_and(|gone| {
                    lines -= usize::from(gone.whole);
                    true
                })
            {}
        }
        if tail > 0 {
            for record in kept {
                out.record(&record, query.timestamps).await?;
            }
        }
    }
    loop {
        // Asked before reading: what was written before the end is then surely read.
        let over = !query.follow || ended();
        while let Some(record) = out.step(cursor.next()).await? {
            if wanted(&record) {
                out.record(&record, query.timestamps).await?;
            }
        }
        out.flush().await?;
        if over {
            return Ok(());
        }
        tokio::select! {
            () = out.sender.closed() => return Err(Stop::Enough),
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

/// Where the text goes, in chunks, up to the limit.
struct Output {
    sender: mpsc::Sender<Result<Bytes, BackendError>>,
    buffer: Vec<u8>,
    left: Option<usize>,
    /// The last record was the beginning of a line.
    in_line: bool,
}

impl Output {
    /// Adds a record; a line has its time in front, and not in front of each of its parts.
    async fn record(&mut self, record: &Record, timestamps: bool) -> Result<(), Stop> {
        let bytes = record.render(timestamps && !self.in_line);
        self.in_line = !record.whole;
        self.push(&bytes).await
    }

    async fn push(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let take = self.left.map_or(bytes.len(), |left| left.min(bytes.len()));
        self.buffer.extend(&bytes[..take]);
        if let Some(left) = &mut self.left {
            *left -= take;
            if *left == 0 {
                return Err(Stop::Enough);
            }
        }
        if self.buffer.len() >= CHUNK {
            self.flush().await
        } else {
            Ok(())
        }
    }

    async fn flush(&mut self) -> Result<(), Stop> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = Bytes::from(std::mem::take(&mut self.buffer));
        self.sender.send(Ok(chunk)).await.map_err(|_| Stop::Enough)
    }

    /// Passes a reading error on to the client.
    async fn step(&mut self, read: io::Result<Option<Record>>) -> Result<Option<Record>, Stop> {
        match read {
            Ok(record) => Ok(record),
            Err(error) => {
                let error = BackendError::Internal(format!("the log cannot be read: {error}"));
                let _ = self.sender.send(Err(error)).await;
                Err(Stop::Enough)
            }
        }
    }
}

/// One record of a log file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    time: Timestamp,
    whole: bool,
    text: Vec<u8>,
}

impl Record {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.splitn(4, |byte| *byte == b' ');
        let time = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        let _stream = fields.next()?;
        let whole = fields.next()? == b"F";
        Some(Self {
            time,
            whole,
            text: fields.next()?.to_vec(),
        })
    }

    fn render(&self, timestamps: bool) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.text.len() + 40);
        if timestamps {
            bytes.extend(format!("{:.9} ", self.time).into_bytes());
        }
        bytes.extend(&self.text);
        if self.whole {
            bytes.push(b'\n');
        }
        bytes
    }
}

/// A place in a log that may be rotated meanwhile.
struct Cursor {
    path: PathBuf,
    older: Vec<PathBuf>,
    file: Option<BufReader<File>>,
    /// The file at the end of the list is the one being written.
    at_newest: bool,
}

impl Cursor {
    fn open(path: &Path) -> Self {
        let mut older = Vec::new();
        for index in 1.. {
            let file = rotated(path, index);
            if !file.exists() {
                break;
            }
            older.push(file);
        }
        Self {
            path: path.to_owned(),
            older,
            file: None,
            at_newest: false,
        }
    }

    /// The next whole record there is now.
    fn next(&mut self) -> io::Result<Option<Record>> {
        loop {
            if self.file.is_none() {
                let (next, newest) = match self.older.pop() {
                    Some(older) => (older, false),
                    None => (self.path.clone(), true),
                };
                self.file = match File::open(next) {
                    Ok(file) => Some(BufReader::new(file)),
                    // Not written yet, or rotated away under our feet.
                    Err(error) if error.kind() == io::ErrorKind::NotFound && newest => {
                        return Ok(None);
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                self.at_newest = newest;
            }
            let Some(file) = &mut self.file else {
                return Ok(None);
            };
            let mut line = Vec::new();
            let count = file.read_until(b'\n', &mut line)?;
            if line.last() == Some(&b'\n') {
                line.pop();
                match Record::parse(&line) {
                    Some(record) => return Ok(Some(record)),
                    None => continue,
                }
            }
            file.seek(SeekFrom::Current(-(count as i64)))?;
            if self.at_newest && !Self::was_rotated(file, &self.path) {
                return Ok(None);
            }
            if self.at_newest {
                // The last records may have come between reading and looking.
                let mut rest = Vec::new();
                if file.read_until(b'\n', &mut rest)? > 0 && rest.last() == Some(&b'\n') {
                    rest.pop();
                    if let Some(record) = Record::parse(&rest) {
                        return Ok(Some(record));
                    }
                    continue;
                }
            }
            self.file = None;
        }
    }

    fn was_rotated(file: &BufReader<File>, path: &Path) -> bool {
        let (Ok(open), Ok(named)) = (file.get_ref().metadata(), std::fs::metadata(path)) else {
            return false;
        };
        open.ino() != named.ino()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn log(lines: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let mut file = File::create(&path).unwrap();
        for (second, line) in lines.iter().enumerate() {
            let time = Timestamp::from_second(second as i64).unwrap();
            let (tag, text) = line.split_once(' ').unwrap();
            writeln!(file, "{time:.9} stdout {tag} {text}").unwrap();
        }
        (directory, path)
    }

    async fn text(path: &Path, options: LogOptions) -> String {
        let now = Timestamp::from_second(10).unwrap();
        let query = LogQuery::new(&options, now).unwrap();
        let chunks: Vec<_> = read(path.to_owned(), query, || true).collect().await;
        chunks
            .into_iter()
            .map(|c| String::from_utf8(c.unwrap().to_vec()).unwrap())
            .collect()
    }

    #[tokio::test]
    async fn options_choose_lines() {
        let (_directory, path) = log(&["F one", "P tw", "F o", "F three", "F four"]);
        let table = [
            (LogOptions::default(), "one\ntwo\nthree\nfour\n"),
            (
                LogOptions {
                    tail_lines: Some(2),
                    ..LogOptions::default()
                },
                "three\nfour\n",
            ),
            (
                LogOptions {
                    tail_lines: Some(3),
                    ..LogOptions::default()
                },
                "two\nthree\nfour\n",
            ),
            (
                LogOptions {
                    tail_lines: Some(0),
                    ..LogOptions::default()
                },
                "",
            ),
            (
                LogOptions {
                    since_seconds: Some(7),
                    ..LogOptions::default()
                },
                "three\nfour\n",
            ),
            (
                LogOptions {
                    since_time: Some("1970-01-01T00:00:04Z".to_owned()),
                    timestamps: true,
                    ..LogOptions::default()
                },
                "1970-01-01T00:00:04.000000000Z four\n",
            ),
            (
                LogOptions {
                    since_time: Some("1970-01-01T00:00:01Z".to_owned()),
                    tail_lines: Some(3),
                    timestamps: true,
                    ..LogOptions::default()
                },
                "1970-01-01T00:00:01.000000000Z two\n1970-01-01T00:00:03.000000000Z three\n1970-01-01T00:00:04.000000000Z four\n",
            ),
            (
                LogOptions {
                    limit_bytes: Some(5),
                    ..LogOptions::default()
                },
                "one\nt",
            ),
        ];
        for (options, expected) in table {
            assert_eq!(text(&path, options.clone()).await, expected, "{options:?}");
        }
    }

    #[tokio::test]
    async fn a_followed_log_is_read_through_a_rotation() {
        let (directory, path) = log(&["F one"]);
        let query = LogQuery {
            follow: true,
            ..LogQuery::new(&LogOptions::default(), Timestamp::UNIX_EPOCH).unwrap()
        };
        let end = directory.path().join("end");
        let over = end.clone();
        let mut stream = read(path.clone(), query, move || over.exists());
        assert_eq!(stream.next().await.unwrap().unwrap(), "one\n");
        let mut old = std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap();
        writeln!(old, "1970-01-01T00:00:01Z stdout F two").unwrap();
        std::fs::rename(&path, rotated(&path, 1)).unwrap();
        std::fs::write(&path, "1970-01-01T00:00:02Z stdout F three\n").unwrap();
        std::fs::write(end, "").unwrap();
        let rest: Vec<_> = stream.map(Result::unwrap).collect().await;
        assert_eq!(rest.concat(), b"two\nthree\n");
    }

    #[test]
    fn the_end_of_a_log_is_bounded_by_lines_and_bytes() {
        let (_directory, path) = log(&["F one", "F two", "F three"]);
        assert_eq!(last_lines(&path, 2, 100), b"two\nthree\n");
        assert_eq!(last_lines(&path, 2, 4), b"ree\n");
    }
}
