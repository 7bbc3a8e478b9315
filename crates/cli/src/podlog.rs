//! A container's log to its end, whatever becomes of the connection it is read through.
//!
//! Laws
//! - Every byte is copied once and in order, over any number of connections. Where to go on is told
//!   by the times of the lines, which outlive a rotation of the log and a restart of the cluster.
//! - A stream that ends proves nothing. The log has ended when a stream that was opened after the
//!   container had ended was read to its end.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::exit::Failure;
use crate::run::preflight::api_failure;

/// How long to wait before the next connection after one that ended, and after one that failed.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(200));
/// Longer than any time in RFC 3339.
const LONGEST_TIME: usize = 64;

/// Which log to follow.
#[derive(Debug, Clone)]
pub struct PodLog {
    /// The pods of the namespace.
    pub pods: Api<Pod>,
    /// The pod's name.
    pub pod: String,
    /// Its uid: a successor of the same name is another log.
    pub uid: String,
    /// The container.
    pub container: String,
    /// Begin with the last so many lines.
    pub tail: Option<i64>,
    /// How long a cluster that does not answer is waited for.
    pub patience: Duration,
}

impl PodLog {
    /// Copies the log until the container has ended and all of it is read, or nobody wants it.
    ///
    /// # Errors
    /// What the cluster refuses at once, and a cluster that has been away for too long.
    pub async fn follow(&self, to: mpsc::Sender<Vec<u8>>) -> Result<(), Failure> {
        let mut splice = Splice::default();
        let mut away_since: Option<Instant> = None;
        let mut first = true;
        loop {
            let trouble = match self.connection(&mut splice, &to).await {
                Ok(Progress::End) => return Ok(()),
                Ok(Progress::More) => {
                    (first, away_since) = (false, None);
                    tokio::time::sleep(PAUSES.0).await;
                    continue;
                }
                Err(error) => error,
            };
            if is_refusal(&trouble, first) {
                return Err(api_failure(trouble));
            }
            let since = *away_since.get_or_insert_with(Instant::now);
            if since.elapsed() > self.patience {
                return Err(Failure::cluster(format!(
                    "the log of {} cannot be read any more: the cluster has not answered for {} s ({trouble})",
                    self.pod,
                    self.patience.as_secs()
                )));
            }
            tokio::time::sleep(PAUSES.1).await;
        }
    }

    /// Copies what one connection gives.
    async fn connection(
        &self,
        splice: &mut Splice,
        to: &mpsc::Sender<Vec<u8>>,
    ) -> Result<Progress, kube::Error> {
        let pod = self.pods.get_opt(&self.pod).await?;
        let Some(pod) = pod.filter(|pod| pod.metadata.uid.as_deref() == Some(self.uid.as_str()))
        else {
            return Ok(Progress::End);
        };
        let had_ended = has_ended(&pod, &self.container);
        let since = splice.resume();
        let params = LogParams {
            follow: true,
            timestamps: true,
            container: Some(self.container.clone()),
            tail_lines: self.tail.filter(|_| since.is_none()),
            since_time: since,
            ..LogParams::default()
        };
        let stream = self.pods.log_stream(&self.pod, &params).await?;
        let mut stream = std::pin::pin!(tokio_util::compat::FuturesAsyncReadCompatExt::compat(
            stream
        ));
        let mut buffer = vec![0; 16 * 1024];
        let clean = loop {
            match stream.read(&mut buffer).await {
                Ok(0) => break true,
                Ok(count) => {
                    let text = splice.take(&buffer[..count]);
                    if !text.is_empty() && to.send(text).await.is_err() {
                        return Ok(Progress::End);
                    }
                }
                Err(_) => break false,
            }
        };
        Ok(if clean && had_ended {
            Progress::End
        } else {
            Progress::More
        })
    }
}

enum Progress {
    More,
    End,
}

/// Whether trying again is of no use. Later on even a refusal may be one of a cluster that has not
/// come back entirely.
fn is_refusal(error: &kube::Error, first: bool) -> bool {
    match error {
        kube::Error::Api(status) if first => status.code < 500 && status.code != 429,
        kube::Error::Api(status) => matches!(status.code, 401 | 403),
        _ => false,
    }
}

fn has_ended(pod: &Pod, container: &str) -> bool {
    let status = pod.status.as_ref();
    let over = status
        .and_then(|status| status.phase.as_deref())
        .is_some_and(|phase| matches!(phase, "Succeeded" | "Failed"));
    over || status
        .and_then(|status| status.container_statuses.as_ref())
        .into_iter()
        .flatten()
        .filter(|status| status.name == container)
        .filter_map(|status| status.state.as_ref())
        .any(|state| state.terminated.is_some())
}

/// Takes the times off the lines of a log, and joins the streams of several connections.
#[derive(Debug, Default)]
struct Splice {
    /// How far the log has been copied.
    at: Position,
    /// What this connection has to pass over first.
    seek: Option<Seek>,
    /// The beginning of a line whose time is not complete yet.
    head: Vec<u8>,
    line: Line,
}

/// A place in a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Position {
    /// The time of the last line that was begun.
    time: Option<Timestamp>,
    /// How many whole lines with that time were copied.
    lines: usize,
    /// How many bytes were copied of the line after them.
    partial: usize,
}

#[derive(Debug)]
struct Seek {
    to: Position,
    /// Lines with the time of the place that were passed over.
    lines: usize,
}

/// The line that is being read.
#[derive(Debug, Default, PartialEq, Eq)]
enum Line {
    /// Its time comes first.
    #[default]
    Head,
    /// Its text is copied, but for some bytes that were copied before.
    Copied { skip: usize },
    /// It was copied before.
    Passed,
    /// It has no time: the cluster says something itself.
    Untimed,
}

impl Splice {
    /// A new connection begins. Returns the time to ask for, unless it is the beginning.
    fn resume(&mut self) -> Option<Timestamp> {
        self.head.clear();
        self.line = Line::Head;
        let time = self.at.time?;
        self.seek = Some(Seek {
            to: self.at,
            lines: 0,
        });
        // Clusters keep whole seconds of this, and kube rounds to the nearest one.
        Some(
            time.saturating_sub(SignedDuration::from_secs(1))
                .unwrap_or(time),
        )
    }

    /// Takes in what has arrived and returns what is new of it.
    fn take(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        while !bytes.is_empty() {
            if self.line == Line::Head {
                bytes = self.take_head(bytes, &mut out);
                continue;
            }
            let newline = bytes.iter().position(|byte| *byte == b'\n');
            let (text, rest) = bytes.split_at(newline.map_or(bytes.len(), |at| at + 1));
            self.take_text(text, newline.is_some(), &mut out);
            bytes = rest;
        }
        out
    }

    /// Reads up to the end of the line's time, and decides about the line.
    fn take_head<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let end = bytes.iter().position(|byte| matches!(byte, b' ' | b'\n'));
        let (head, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        self.head.extend(head);
        if end.is_none() && self.head.len() <= LONGEST_TIME {
            return rest;
        }
        let head = std::mem::take(&mut self.head);
        let time = std::str::from_utf8(&head).ok();
        match time.and_then(|text| text.parse::<Timestamp>().ok()) {
            Some(time) => {
                self.line = self.begin(time, out);
                // The space belongs to the time.
                rest.strip_prefix(b" ").unwrap_or(rest)
            }
            None => {
                self.line = Line::Untimed;
                out.extend(head);
                rest
            }
        }
    }

    fn begin(&mut self, time: Timestamp, out: &mut Vec<u8>) -> Line {
        let mut skip = 0;
        if let Some(seek) = &mut self.seek {
            let to = seek.to;
            if Some(time) < to.time {
                return Line::Passed;
            }
            if Some(time) == to.time && seek.lines < to.lines {
                seek.lines += 1;
                return Line::Passed;
            }
            self.seek = None;
            if Some(time) == to.time {
                skip = to.partial;
            } else if to.partial > 0 {
                // The rest of that line is gone with a rotated file.
                out.push(b'\n');
            }
        }
        if self.at.time != Some(time) {
            self.at = Position {
                time: Some(time),
                ..Position::default()
            };
        }
        Line::Copied { skip }
    }

    fn take_text(&mut self, text: &[u8], whole: bool, out: &mut Vec<u8>) {
        match &mut self.line {
            Line::Copied { skip } => {
                let known = text.len().min(*skip);
                *skip -= known;
                out.extend(&text[known..]);
                self.at.partial += text.len() - known;
                if whole {
                    self.at.lines += 1;
                    self.at.partial = 0;
                }
            }
            Line::Untimed => out.extend(text),
            Line::Passed | Line::Head => {}
        }
        if whole {
            self.line = Line::Head;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A line of a log: the second at which it was written, and its text.
    type Written = (i64, String);

    fn timed(lines: &[Written]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (second, text) in lines {
            let time = Timestamp::from_second(*second).unwrap();
            bytes.extend(format!("{time:.9} {text}\n").into_bytes());
        }
        bytes
    }

    /// What a server sends for a time.
    fn since(lines: &[Written], time: Option<Timestamp>) -> Vec<u8> {
        let first = time.map_or(i64::MIN, Timestamp::as_second);
        let from = lines.iter().position(|(second, _)| *second >= first);
        timed(&lines[from.unwrap_or(lines.len())..])
    }

    fn plain(lines: &[Written]) -> String {
        let texts = lines.iter().map(|(_, text)| text.as_str());
        texts.flat_map(|text| [text, "\n"]).collect()
    }

    proptest! {
        /// However often the connection breaks, and wherever, the text is there once.
        #[test]
        fn connections_are_joined_without_a_gap_or_a_repetition(
            steps in prop::collection::vec((0_i64..3, "[a-c é]{0,6}"), 0..20),
            cuts in prop::collection::vec((0_usize..200, 1_usize..40), 0..8),
        ) {
            let mut second = 100;
            let lines: Vec<Written> = steps
                .into_iter()
                .map(|(later, text)| {
                    second += later;
                    (second, text)
                })
                .collect();
            let mut splice = Splice::default();
            let mut out = Vec::new();
            for (cut, chunk) in cuts.into_iter().chain([(usize::MAX, 7)]) {
                let sent = since(&lines, splice.resume());
                for piece in sent[..sent.len().min(cut)].chunks(chunk) {
                    out.extend(splice.take(piece));
                }
            }
            prop_assert_eq!(String::from_utf8(out).unwrap(), plain(&lines));
        }
    }

    #[test]
    fn a_line_that_was_rotated_away_is_ended_and_what_has_no_time_is_shown() {
        let line = |second, text: &str| (second, text.to_owned());
        let mut splice = Splice::default();
        assert_eq!(splice.resume(), None);
        let mut out = splice.take(b"1970-01-01T00:00:05.000000000Z half");
        assert_eq!(splice.resume(), Timestamp::from_second(4).ok());
        out.extend(splice.take(&timed(&[line(9, "next")])));
        out.extend(splice.take(b"rpc error: gone\n"));
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "half\nnext\nrpc error: gone\n"
        );
    }
}
