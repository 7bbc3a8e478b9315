//! Lines with their times, and how far a log was copied. Pure.
//!
//! Laws:
//! - a connection goes on after the last line that is kept, which is found by its time and its place among lines of
//!   that time. Where a later time comes before it, the times are no guide: a clock was set back, or the node has
//!   that line no more. Then nothing of the connection is taken, and the next one goes by content;
//! - by content, each line that is kept is passed over as often as it is kept, whatever its time says.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jiff::{SignedDuration, Timestamp};

/// A line is cut off here; what prints no line breaks would fill the memory otherwise.
const LINE_MAX: usize = 256 << 10;
/// Lines are asked for from this long before the last one on: a node keeps back what is older than what was asked
/// for, and so everything that it prints after its clock was set back further than that.
const MARGIN: SignedDuration = SignedDuration::from_secs(30);
/// A time this far ahead of ours is that of a clock which is, or was, wrong.
const SKEW: SignedDuration = SignedDuration::from_secs(5);

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
        self.time.map(|it| it.saturating_sub(MARGIN).unwrap_or(it))
    }

    /// Whether the last line is of a time that has not come yet: what is printed from now on may have earlier ones.
    pub fn is_ahead_of(&self, now: Timestamp) -> bool {
        self.time.is_some_and(|it| it.duration_since(now) > SKEW)
    }
}

/// Lines that are kept, to go on by content; 16 bytes for each.
#[derive(Debug, Default)]
pub struct Known(HashMap<u64, u32>);

impl Known {
    /// Takes in a segment.
    pub fn add(&mut self, segment: &[u8]) {
        for line in lines(segment) {
            *self.0.entry(digest(line)).or_default() += 1;
        }
    }

    /// Passes over a line that is kept, once for each time that it is.
    fn has(&mut self, line: &[u8]) -> bool {
        match self.0.get_mut(&digest(line)) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }
}

fn digest(line: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    line.hash(&mut hasher);
    hasher.finish()
}

/// Makes segments of what a connection gives.
#[derive(Debug, Default)]
pub struct Cutter {
    seek: Seek,
    /// The line that has not ended yet.
    line: Vec<u8>,
    segment: Vec<u8>,
}

/// What of a connection is passed over.
#[derive(Debug, Default)]
enum Seek {
    /// Nothing any more.
    #[default]
    Nothing,
    /// What was copied before, of whose last time so many lines have been passed over.
    Until(Reached, usize),
    /// What is known to be kept.
    Known(Known),
    /// Everything: times are no guide.
    Everything,
}

impl Cutter {
    /// A new connection begins, which has asked for [`Reached::since`].
    pub fn resume(reached: Reached) -> Self {
        let seek = match reached.time {
            Some(_) => Seek::Until(reached, 0),
            None => Seek::Nothing,
        };
        Self {
            seek,
            ..Self::default()
        }
    }

    /// A new connection begins, which has asked for everything.
    pub fn among(known: Known) -> Self {
        Self {
            seek: Seek::Known(known),
            ..Self::default()
        }
    }

    /// Whether the connection is of no use, since its times do not tell what of it is kept.
    pub fn is_lost(&self) -> bool {
        matches!(self.seek, Seek::Everything)
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

    /// Whether a line has begun that has not ended.
    pub fn is_within_a_line(&self) -> bool {
        !self.line.is_empty()
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
        match &mut self.seek {
            Seek::Nothing => {}
            Seek::Until(to, passed) => {
                if Some(time) > to.time {
                    self.seek = Seek::Everything;
                } else if Some(time) == to.time {
                    *passed += 1;
                    // What comes now is new, also where its time is an earlier one.
                    if *passed == to.lines {
                        self.seek = Seek::Nothing;
                    }
                }
                return;
            }
            Seek::Known(known) => {
                if known.has(&line) {
                    return;
                }
            }
            Seek::Everything => return,
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

    /// What one connection after another keeps of a log, of which a node gives the lines from a time on.
    fn copied(all: &[(i64, String)], lives: &[(usize, i64)]) -> Vec<Vec<u8>> {
        let mut segments: Vec<Vec<u8>> = Vec::new();
        let mut goes_by_content = false;
        for (printed, now) in lives {
            let reached = reached(&segments);
            let now = Timestamp::from_second(*now).unwrap();
            goes_by_content |= reached.is_ahead_of(now);
            let first = match reached.since() {
                Some(since) if !goes_by_content => since.as_second(),
                _ => i64::MIN,
            };
            let sent = all[..*printed].iter().filter(|it| it.0 >= first);
            let sent: Vec<_> = sent.cloned().collect();
            let mut cutter = if goes_by_content {
                let mut known = Known::default();
                for segment in &segments {
                    known.add(segment);
                }
                Cutter::among(known)
            } else {
                Cutter::resume(reached)
            };
            cutter.take(&timed(&sent));
            goes_by_content = cutter.is_lost();
            segments.push(cutter.cut());
        }
        segments
    }

    #[test]
    fn a_clock_that_is_set_back_neither_loses_nor_doubles_a_line() {
        let line = |second: i64| (second, format!("at {second}"));
        let times = |ranges: &[std::ops::Range<i64>]| -> Vec<(i64, String)> {
            ranges.iter().cloned().flatten().map(line).collect()
        };
        for (all, lives) in [
            // Nobody listens while the clock is set back, by an hour and by a second.
            (
                times(&[5000..5010, 1000..1010]),
                vec![(10, 5010), (20, 1010)],
            ),
            (
                times(&[5000..5010, 5008..5020]),
                vec![(10, 5010), (22, 5020)],
            ),
            // The connection ends after it, and a later one finds the old times before its own.
            (
                times(&[5000..5010, 1000..1010]),
                vec![(15, 1004), (16, 1005), (18, 1007), (20, 1010), (20, 1010)],
            ),
            // The wrong time comes again.
            (
                times(&[100..110, 50..120]),
                vec![
                    (10, 109),
                    (30, 69),
                    (60, 99),
                    (75, 114),
                    (80, 119),
                    (80, 120),
                ],
            ),
        ] {
            let kept = copied(&all, &lives).concat();
            assert_eq!(kept, timed(&all), "{lives:?}");
        }
    }

    #[test]
    fn a_node_that_has_the_last_line_no_more_gives_what_it_has() {
        let mut reached = Reached::default();
        reached.look_back(b"1970-01-01T00:00:05Z one\n");
        let given = b"1970-01-01T00:00:06Z two\n1970-01-01T00:00:07Z three\n";
        let mut cutter = Cutter::resume(reached);
        cutter.take(given);
        assert!(cutter.is_lost() && cutter.cut().is_empty());
        let mut known = Known::default();
        known.add(b"1970-01-01T00:00:05Z one\n");
        let mut cutter = Cutter::among(known);
        cutter.take(given);
        assert_eq!(cutter.cut(), given);
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
