//! Writing a container's output: one line per record, with its time and stream, rotated by size.
//!
//! ```text
//! 2026-01-02T03:04:05.678901234Z stdout F a whole line
//! 2026-01-02T03:04:05.678901234Z stderr P the beginning of a long one
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// Which stream a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output, and everything of a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// A line longer than this is written in parts.
const MAX_LINE: usize = 16 << 10;
/// A file larger than this is set aside.
const MAX_FILE: u64 = 10 << 20;
/// So many files are kept, the current one included.
const MAX_FILES: u32 = 5;

/// The open log of one container instance.
pub(super) struct LogWriter {
    path: PathBuf,
    file: File,
    written: u64,
    max_file: u64,
}

/// Bytes of one stream that do not make a whole line yet.
#[derive(Default)]
pub(super) struct PartialLine(Vec<u8>);

impl LogWriter {
    /// Opens the log, continuing what is there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let written = file.metadata()?.len();
        Ok(Self {
            path: path.to_owned(),
            file,
            written,
            max_file: MAX_FILE,
        })
    }

    /// Takes bytes of a stream; what is not a whole line yet stays in `partial`.
    pub(super) fn take(
        &mut self,
        stream: Stream,
        partial: &mut PartialLine,
        bytes: &[u8],
        now: Timestamp,
    ) -> io::Result<()> {
        let mut records = Vec::with_capacity(bytes.len() + 128);
        for &byte in bytes {
            if byte == b'\n' {
                record(&mut records, stream, 'F', &partial.0, now);
                partial.0.clear();
            } else {
                partial.0.push(byte);
                if partial.0.len() == MAX_LINE {
                    record(&mut records, stream, 'P', &partial.0, now);
                    partial.0.clear();
                }
            }
        }
        self.append(&records)
    }

    /// The stream has ended: an unfinished line becomes one.
    pub(super) fn finish(
        &mut self,
        stream: Stream,
        partial: &mut PartialLine,
        now: Timestamp,
    ) -> io::Result<()> {
        if partial.0.is_empty() {
            return Ok(());
        }
        let mut records = Vec::new();
        record(
            &mut records,
            stream,
            'P',
            &std::mem::take(&mut partial.0),
            now,
        );
        self.append(&records)
    }

    fn append(&mut self, records: &[u8]) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        self.file.write_all(records)?;
        self.written += records.len() as u64;
        if self.written >= self.max_file {
            self.rotate()
        } else {
            Ok(())
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        for index in (1..MAX_FILES - 1).rev() {
            let from = rotated(&self.path, index);
            if from.exists() {
                fs::rename(from, rotated(&self.path, index + 1))?;
            }
        }
        fs::rename(&self.path, rotated(&self.path, 1))?;
        *self = Self {
            max_file: self.max_file,
            ..Self::open(&self.path)?
        };
        Ok(())
    }
}

/// The name of a log file set aside; 1 is the youngest.
pub(crate) fn rotated(path: &Path, index: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{index}"));
    PathBuf::from(name)
}

fn record(out: &mut Vec<u8>, stream: Stream, tag: char, line: &[u8], now: Timestamp) {
    out.extend(format!("{now:.9} {} {tag} ", stream.name()).into_bytes());
    out.extend(line);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_stream_and_time_and_long_ones_are_cut() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs/0.log");
        let mut log = LogWriter::open(&path).unwrap();
        let now = Timestamp::from_second(0).unwrap();
        let mut out = PartialLine::default();
        let mut err = PartialLine::default();
        log.take(Stream::Stdout, &mut out, b"one\ntw", now).unwrap();
        log.take(Stream::Stderr, &mut err, b"oops\n", now).unwrap();
        log.take(Stream::Stdout, &mut out, b"o\nrest", now).unwrap();
        log.finish(Stream::Stdout, &mut out, now).unwrap();
        insta::assert_snapshot!(fs::read_to_string(&path).unwrap(), @"
        1970-01-01T00:00:00.000000000Z stdout F one
        1970-01-01T00:00:00.000000000Z stderr F oops
        1970-01-01T00:00:00.000000000Z stdout F two
        1970-01-01T00:00:00.000000000Z stdout P rest
        ");
    }

    #[test]
    fn no_more_than_five_files_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let mut log = LogWriter {
            max_file: 50,
            ..LogWriter::open(&path).unwrap()
        };
        let now = Timestamp::from_second(0).unwrap();
        for line in 0..20 {
            let text = format!("line {line}\n");
            log.take(
                Stream::Stdout,
                &mut PartialLine::default(),
                text.as_bytes(),
                now,
            )
            .unwrap();
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 5);
        assert!(rotated(&path, 4).exists());
    }
}
