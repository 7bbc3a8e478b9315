//! Sets of completion indexes, as a status writes them: `0-2,5`.

use std::collections::BTreeSet;

/// Reads a list of indexes and ranges; what cannot be read is left out.
pub(super) fn read(text: &str) -> BTreeSet<i64> {
    let mut indexes = BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.trim().parse::<i64>(), last.trim().parse()) {
            indexes.extend(first..=last);
        }
    }
    indexes
}

/// Writes a list; three or more in a row become a range.
pub(super) fn write(indexes: &BTreeSet<i64>) -> String {
    let mut rows: Vec<(i64, i64)> = Vec::new();
    for index in indexes {
        match rows.last_mut() {
            Some((_, last)) if *last + 1 == *index => *last = *index,
            _ => rows.push((*index, *index)),
        }
    }
    let row = |(first, last): (i64, i64)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    };
    rows.into_iter().map(row).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_read_as_they_are_written() {
        let cases: [(&[i64], &str); 5] = [
            (&[], ""),
            (&[0], "0"),
            (&[1, 3, 4, 5, 7], "1,3-5,7"),
            (&[3, 4], "3,4"),
            (&[0, 1, 2, 3], "0-3"),
        ];
        for (indexes, text) in cases {
            let indexes: BTreeSet<i64> = indexes.iter().copied().collect();
            assert_eq!(write(&indexes), text);
            assert_eq!(read(text), indexes, "{text}");
        }
        assert_eq!(read("x,2-y,4"), BTreeSet::from([4]));
    }
}
