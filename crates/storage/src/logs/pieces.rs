//! The pieces that a log consists of: what their names say, which of them count, and what becomes of many small
//! ones and of too many bytes. Pure.
//!
//! A piece is a segment as it was cut (`00000007.log`), or several that follow each other, joined
//! (`00000001-00000008.log`). Joined are only segments of one block: the numbers from 1 on by eights, the blocks
//! by eights again, and so on.
//!
//! Laws:
//! - of two pieces one covers the other or they have nothing in common, since blocks do. So a reader takes the
//!   larger ones, and has each line once, wherever a join was cut off;
//! - what is covered goes only when what covers it is there;
//! - the last segment of a log is always in some piece: it tells how far the log was copied.

use std::cmp::Reverse;
use std::ops::RangeInclusive;

use jiff::Timestamp;

const SUFFIX: &str = ".log";
/// How many make a block.
const FAN: u64 = 8;
/// What is joined is no larger: 64 segments as they are cut, with what each has beyond its measure.
pub const JOINED_MAX: u64 = 12 << 20;

/// A piece of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The number of its first segment.
    pub first: u64,
    /// That of its last one.
    pub last: u64,
    /// How many bytes it has.
    pub size: u64,
    /// When it was kept: not before its last line.
    pub written: Timestamp,
}

impl Piece {
    /// Reads a name.
    pub fn of_name(name: &str, size: u64, written: Timestamp) -> Option<Self> {
        let stem = name.strip_suffix(SUFFIX)?;
        let (first, last) = stem.split_once('-').unwrap_or((stem, stem));
        let number = |text: &str| {
            let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|number| is_digits && *number > 0)
        };
        let (first, last): (u64, u64) = (number(first)?, number(last)?);
        (first <= last).then_some(Self {
            first,
            last,
            size,
            written,
        })
    }

    /// The name of the piece with these segments.
    pub fn name(segments: &RangeInclusive<u64>) -> String {
        let (first, last) = (segments.start(), segments.end());
        if first == last {
            format!("{first:08}{SUFFIX}")
        } else {
            format!("{first:08}-{last:08}{SUFFIX}")
        }
    }

    /// The segments that it has.
    pub const fn segments(&self) -> RangeInclusive<u64> {
        self.first..=self.last
    }
}

/// The pieces that count, in order: none that another one covers.
pub fn standing(pieces: &[Piece]) -> Vec<Piece> {
    let mut ordered = pieces.to_vec();
    ordered.sort_unstable_by_key(|it| (it.first, Reverse(it.last)));
    let mut end = 0;
    ordered.retain(|it| {
        let counts = it.last > end;
        end = end.max(it.last);
        counts
    });
    ordered
}

/// Whether more segments will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// They will, or may.
    Running,
    /// All of them are there.
    Over,
}

/// Something to do about the pieces of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upkeep {
    /// It goes: another one covers it, or the log is too long.
    Delete(Piece),
    /// They become one.
    Join(Vec<Piece>),
}

/// What is to be done about the pieces of a log that may have so many bytes, in this order.
pub fn upkeep(pieces: &[Piece], limit: u64, phase: Phase) -> Vec<Upkeep> {
    let mut standing = standing(pieces);
    let mut steps: Vec<Upkeep> = pieces
        .iter()
        .filter(|it| !standing.contains(it))
        .map(|it| Upkeep::Delete(*it))
        .collect();
    let mut total: u64 = standing.iter().map(|it| it.size).sum();
    while total > limit && standing.len() > 1 {
        let oldest = standing.remove(0);
        total -= oldest.size;
        steps.push(Upkeep::Delete(oldest));
    }
    steps.extend(joins(&standing, phase).into_iter().map(Upkeep::Join));
    steps
}

/// The blocks that are joined, each as large as it may be, in order.
fn joins(standing: &[Piece], phase: Phase) -> Vec<Vec<Piece>> {
    let Some(end) = standing.last().map(|it| it.last) else {
        return Vec::new();
    };
    let mut size = FAN;
    while size < end {
        size = size.saturating_mul(FAN);
    }
    let mut joins = Vec::new();
    let mut rest = standing;
    // From the largest blocks to the smallest at each place, from the left to the right.
    while let Some(head) = rest.first() {
        let mut block = size;
        let taken = loop {
            if block < FAN {
                break 1;
            }
            let count = joined(rest, head, block, end, phase, standing[0].first);
            if count > 1 {
                joins.push(rest[..count].to_vec());
                break count;
            }
            block /= FAN;
        };
        rest = &rest[taken..];
    }
    joins
}

/// How many pieces are joined that begin with `head`, in its block of this size; 0 where none are.
fn joined(
    rest: &[Piece],
    head: &Piece,
    block: u64,
    end: u64,
    phase: Phase,
    beginning: u64,
) -> usize {
    let start = (head.first - 1) / block * block + 1;
    let block_end = start.saturating_add(block - 1);
    // What was before the beginning of the log has been deleted.
    if head.first != start && head.first != beginning {
        return 0;
    }
    let (mut count, mut next, mut bytes) = (0, head.first, 0_u64);
    for piece in rest.iter().take_while(|it| it.last <= block_end) {
        if piece.first != next {
            return 0;
        }
        next = piece.last + 1;
        bytes += piece.size;
        count += 1;
    }
    let is_complete = next > block_end || (phase == Phase::Over && next > end);
    if is_complete && bytes <= JOINED_MAX {
        count
    } else {
        0
    }
}

/// How far somebody has read a log, whose pieces may be joined and deleted meanwhile.
#[derive(Debug, Clone, Default)]
pub struct Cursor {
    read: Vec<Piece>,
}

/// What to read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// The piece.
    pub piece: Piece,
    /// How many bytes at its beginning have been read already.
    pub skip: u64,
}

impl Cursor {
    /// What comes next of these pieces.
    pub fn next(&self, pieces: &[Piece]) -> Option<Next> {
        let next = self.read.last().map_or(1, |it| it.last + 1);
        let standing = standing(pieces);
        let piece = *standing.iter().find(|it| it.last >= next)?;
        let read = self.read.iter().filter(|it| it.first >= piece.first);
        Some(Next {
            piece,
            skip: read.map(|it| it.size).sum(),
        })
    }

    /// This piece has been read to its end.
    pub fn advance(&mut self, piece: Piece) {
        // What it covers is counted with it.
        self.read.retain(|it| it.last < piece.first);
        self.read.push(piece);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn piece(segments: RangeInclusive<u64>, size: u64) -> Piece {
        let name = Piece::name(&segments);
        Piece::of_name(&name, size, Timestamp::UNIX_EPOCH).unwrap()
    }

    fn singles(numbers: RangeInclusive<u64>, size: u64) -> Vec<Piece> {
        numbers.map(|it| piece(it..=it, size)).collect()
    }

    /// The ranges of a decision, in words.
    fn words(steps: &[Upkeep]) -> Vec<String> {
        let range = |it: &Piece| format!("{}-{}", it.first, it.last);
        let words = steps.iter().map(|step| match step {
            Upkeep::Delete(it) => format!("delete {}", range(it)),
            Upkeep::Join(parts) => {
                let (first, last) = (parts[0].first, parts[parts.len() - 1].last);
                format!("join {first}-{last} of {}", parts.len())
            }
        });
        words.collect()
    }

    #[test]
    fn a_name_says_which_segments_a_piece_has() {
        for (name, segments) in [
            ("00000007.log", Some(7..=7)),
            ("00000001-00000008.log", Some(1..=8)),
            ("123456789.log", Some(123_456_789..=123_456_789)),
            ("00000008-00000001.log", None),
            ("00000000.log", None),
            ("+0000007.log", None),
            (".00000007.log.1-2", None),
            ("about.json", None),
            ("ended", None),
            ("-.log", None),
        ] {
            let found = Piece::of_name(name, 1, Timestamp::UNIX_EPOCH).map(|it| it.segments());
            assert_eq!(found, segments, "{name}");
            if let Some(segments) = segments {
                assert_eq!(Piece::name(&segments), name);
            }
        }
    }

    #[test]
    fn blocks_that_are_full_are_joined_and_when_the_log_is_over_all_that_fit() {
        const MIB: u64 = 1 << 20;
        let with_joined = |parts: &[Piece], joined: Piece| [parts, &[joined]].concat();
        for (pieces, limit, phase, expected) in [
            (singles(1..=7, 9), 999, Phase::Running, vec![]),
            (
                singles(1..=8, 9),
                999,
                Phase::Running,
                vec!["join 1-8 of 8"],
            ),
            (
                singles(1..=9, 9),
                999,
                Phase::Running,
                vec!["join 1-8 of 8"],
            ),
            (singles(1..=9, 9), 999, Phase::Over, vec!["join 1-9 of 9"]),
            (singles(1..=1, 9), 999, Phase::Over, vec![]),
            (
                singles(1..=64, 9),
                999,
                Phase::Running,
                vec!["join 1-64 of 64"],
            ),
            (
                singles(1..=20, MIB),
                99 * MIB,
                Phase::Over,
                vec!["join 1-8 of 8", "join 9-16 of 8", "join 17-20 of 4"],
            ),
            // The beginning has been deleted.
            (
                singles(3..=8, 9),
                999,
                Phase::Running,
                vec!["join 3-8 of 6"],
            ),
            // Somebody has taken one away: nothing is joined over the gap.
            (
                [singles(1..=3, 9), singles(5..=8, 9)].concat(),
                999,
                Phase::Over,
                vec![],
            ),
            // A join that was cut off goes on.
            (
                with_joined(&singles(3..=9, 9), piece(1..=8, 72)),
                999,
                Phase::Running,
                vec![
                    "delete 3-3",
                    "delete 4-4",
                    "delete 5-5",
                    "delete 6-6",
                    "delete 7-7",
                    "delete 8-8",
                ],
            ),
            // What is too long loses its oldest lines, and never its last ones.
            (
                vec![piece(1..=8, 80), piece(9..=9, 10), piece(10..=10, 10)],
                40,
                Phase::Running,
                vec!["delete 1-8"],
            ),
            (singles(1..=2, 90), 10, Phase::Running, vec!["delete 1-1"]),
            (vec![], 10, Phase::Over, vec![]),
        ] {
            let steps = upkeep(&pieces, limit, phase);
            assert_eq!(words(&steps), expected, "{pieces:?} {limit} {phase:?}");
        }
    }

    #[test]
    fn segments_as_they_are_cut_become_pieces_of_eight_mebibytes() {
        let cut = (128 << 10) + (16 << 10);
        let steps = upkeep(&singles(1..=130, cut), u64::MAX, Phase::Over);
        let expected = ["join 1-64 of 64", "join 65-128 of 64", "join 129-130 of 2"];
        assert_eq!(words(&steps), expected);
    }

    /// Carries out a part of what is to be done; contents are the numbers of segments.
    fn carry_out(pieces: &mut Vec<Piece>, steps: &[Upkeep], until: usize) {
        let mut calls = 0;
        let mut may = || {
            calls += 1;
            calls <= until
        };
        for step in steps {
            match step {
                Upkeep::Delete(piece) => {
                    if may() {
                        pieces.retain(|it| it != piece);
                    }
                }
                Upkeep::Join(parts) => {
                    let segments = parts[0].first..=parts[parts.len() - 1].last;
                    if may() {
                        pieces.push(piece(segments, parts.iter().map(|it| it.size).sum()));
                    }
                    for part in parts {
                        if may() {
                            pieces.retain(|it| it != part);
                        }
                    }
                }
            }
        }
    }

    proptest! {
        /// However joins are cut off and go on, whoever reads meanwhile has each segment once and in order,
        /// but for the oldest ones of a log that is too long.
        #[test]
        fn a_reader_has_each_segment_once_whatever_is_cut_off(
            rounds in prop::collection::vec((0_u64..30, 0_usize..60, any::<bool>()), 1..12),
        ) {
            let mut pieces = Vec::new();
            let mut count = 0;
            let mut cursor = Cursor::default();
            let mut read = Vec::new();
            for (more, until, reads) in rounds {
                pieces.extend(singles(count + 1..=count + more, 1));
                count += more;
                let steps = upkeep(&pieces, u64::MAX, Phase::Running);
                carry_out(&mut pieces, &steps, until);
                if reads && let Some(next) = cursor.next(&pieces) {
                    read.extend(next.piece.segments().skip(usize::try_from(next.skip).unwrap()));
                    cursor.advance(next.piece);
                }
            }
            let steps = upkeep(&pieces, u64::MAX, Phase::Over);
            carry_out(&mut pieces, &steps, usize::MAX);
            while let Some(next) = cursor.next(&pieces) {
                read.extend(next.piece.segments().skip(usize::try_from(next.skip).unwrap()));
                cursor.advance(next.piece);
            }
            prop_assert_eq!(read, (1..=count).collect::<Vec<_>>());
            let left = upkeep(&pieces, u64::MAX, Phase::Over);
            prop_assert!(left.iter().all(|it| matches!(it, Upkeep::Join(_))), "{:?}", left);
        }
    }
}
