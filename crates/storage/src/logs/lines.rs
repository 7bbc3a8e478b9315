//! Lines with their times, and how far a log was copied. Pure.

use jiff::{SignedDuration, Timestamp};

/// A line is cut off here; what prints no line breaks would fill the memory otherwise.
const LINE_MAX: usize = 256 << 10;

/// How far a log was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reached {
    /// The time of the last line.
    pub time: Option<Timestamp>,
    /// How many lines have that time.
    pub lines: usize,
}

impl Reached {
    /// Takes in a segment, of which the newest comes first. Says whether an older one could change the answer.
    pub fn look_back(&mut self, segment: &[u8]) -> bool {
        for line in lines(segment).rev() {
            let Some(time) = time(line) else { continue };
            match self.time {
                None => (self.time, self.lines) = (Some(time), 1),
                Some(last) if last == time => self.lines += 1,
                Some(_) => return false,
            }
        }
        true
    }

    /// The time to ask for to go on from here; everything at the beginning.
    pub fn since(&self) -> Option<Timestamp> {
        // Clusters keep whole seconds of this, and kube rounds to the nearest one.
        let second = SignedDuration::from_secs(1);
        self.time.map(|it| it.saturating_sub(second).unwrap_or(it))
    }
}

/// Makes segments of what a connection gives.
#[derive(Debug, Default)]
pub struct Cutter {
    /// What was copied before, and how many lines with its last time have been passed over.
    seek: Option<(Reached, usize)>,
    /// The line that has not ended yet.
    line: Vec<u8>,
    segment: Vec<u8>,
}

impl Cutter {
    /// A new connection begins, which has asked for [`Reached::since`].
    pub fn resume(reached: Reached) -> Self {
        Self {
            seek: reached.time.map(|_| (reached, 0)),
            ..Self::default()
        }
    }

    /// Takes in what has arrived.
    pub fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            let room = LINE_MAX.saturating_sub(self.line.len());
            self.line.extend(&text[..text.len().min(room)]);
            if piece.len() > text.len() {
                self.end_line();
            }
        }
    }

    /// The container has ended: what it printed last is a line, too.
    pub fn finish(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
    }

    /// How many bytes wait to be kept.
    pub fn waiting(&self) -> usize {
        self.segment.len()
    }

    /// The lines that have ended.
    pub fn cut(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.segment)
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        // What has no time is something that the cluster says itself, each time anew.
        let Some(time) = time(&line) else { return };
        if let Some((to, passed)) = &mut self.seek {
            if Some(time) < to.time {
                return;
            }
            if Some(time) == to.time && *passed < to.lines {
                *passed += 1;
                return;
            }
            self.seek = None;
        }
        self.segment.extend(line);
        self.segment.push(b'\n');
    }
}

/// A segment as it was printed, without times.
pub fn text(segment: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(segment.len());
    for line in lines(segment) {
        let blank = line.iter().position(|byte| *byte == b' ');
        text.extend(blank.map_or(&[][..], |at| &line[at + 1..]));
        text.push(b'\n');
    }
    text
}

fn lines(segment: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let lines = segment.split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

fn time(line: &[u8]) -> Option<Timestamp> {
    let end = line.iter().position(|byte| *byte == b' ');
    let head = &line[..end.unwrap_or(line.len())];
    std::str::from_utf8(head).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn timed(lines: &[(i64, String)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (second, text) in lines {
            let time = Timestamp::from_second(*second).unwrap();
            bytes.extend(format!("{time:.9} {text}\n").into_bytes());
        }
        bytes
    }

    fn reached(segments: &[Vec<u8>]) -> Reached {
        let mut reached = Reached::default();
        let _ = segments.iter().rev().all(|it| reached.look_back(it));
        reached
    }

    proptest! {
        /// However often the operator dies, with whatever it has not kept yet, each line is kept once.
        #[test]
        fn an_operator_that_dies_anywhere_neither_loses_nor_doubles_a_line(
            steps in prop::collection::vec((0_i64..2, "[a-c é]{0,6}"), 0..20),
            lives in prop::collection::vec((0_usize..300, 1_usize..40, 1_usize..60), 0..8),
        ) {
            let mut second = 100;
            let all: Vec<(i64, String)> = steps
                .into_iter()
                .map(|(later, text)| {
                    second += later;
                    (second, text)
                })
                .collect();
            let mut segments: Vec<Vec<u8>> = Vec::new();
            let last = (usize::MAX, 7, 1);
            for (death, chunk, size) in lives.into_iter().chain([last]) {
                let reached = reached(&segments);
                let first = reached.since().map_or(i64::MIN, Timestamp::as_second);
                let sent: Vec<_> = all.iter().filter(|it| it.0 >= first).cloned().collect();
                let sent = timed(&sent);
                let mut cutter = Cutter::resume(reached);
                for piece in sent[..sent.len().min(death)].chunks(chunk) {
                    cutter.take(piece);
                    if cutter.waiting() >= size {
                        segments.push(cutter.cut());
                    }
                }
            }
            prop_assert_eq!(segments.concat(), timed(&all));
        }
    }

    #[test]
    fn a_last_line_without_an_end_is_one_and_what_has_no_time_is_not_kept() {
        let mut cutter = Cutter::default();
        cutter.take(b"1970-01-01T00:00:05Z one\nrpc error: gone\n1970-01-01T00:00:06Z \n");
        cutter.take(b"1970-01-01T00:00:07Z ha");
        cutter.take(b"lf");
        let segment = cutter.cut();
        assert_eq!(text(&segment), b"one\n\n");
        cutter.finish();
        assert_eq!(text(&cutter.cut()), b"half\n");
    }

    #[test]
    fn a_line_without_end_does_not_fill_the_memory() {
        let mut cutter = Cutter::default();
        cutter.take(b"1970-01-01T00:00:05Z ");
        for _ in 0..1000 {
            cutter.take(&[b'x'; 8 << 10]);
        }
        cutter.take(b"\n1970-01-01T00:00:06Z next\n");
        let segment = cutter.cut();
        assert!(segment.len() < 2 * LINE_MAX, "{}", segment.len());
        assert!(segment.ends_with(b" next\n"));
    }
}
