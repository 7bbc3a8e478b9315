//! Pages of names: in their order, below a prefix, with folders rolled up. Pure.
//!
//! Laws:
//! - a page continues exactly where the one before it ended, whatever was written in between;
//! - a folder is told once, however much there is in it, and is stepped over without looking into it.

/// Where names are found, in the order of their bytes.
pub(crate) trait Names {
    /// What comes with a name.
    type Item;
    /// Why it cannot be read.
    type Error;

    /// The first name that is not before this one.
    fn at_or_after(&self, name: &str) -> Result<Option<(String, Self::Item)>, Self::Error>;
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    /// What names begin with.
    pub(crate) prefix: String,
    /// What a folder ends with.
    pub(crate) delimiter: Option<String>,
    /// The name or folder after which the page begins.
    pub(crate) after: Option<String>,
    /// How many names and folders it has at most.
    pub(crate) limit: usize,
}

/// A page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page<T> {
    pub(crate) entries: Vec<(String, T)>,
    pub(crate) folders: Vec<String>,
    /// After what the next page begins; nothing when this was the last one.
    pub(crate) next: Option<String>,
}

/// Reads a page.
pub(crate) fn page<N: Names>(names: &N, query: &Query) -> Result<Page<N::Item>, N::Error> {
    let mut page = Page {
        entries: Vec::new(),
        folders: Vec::new(),
        next: None,
    };
    if query.limit == 0 {
        return Ok(page);
    }
    let after = query.after.as_deref().unwrap_or_default();
    let mut cursor = query.prefix.clone();
    if after >= cursor.as_str() && !after.is_empty() {
        cursor = match folder_of(after, query) {
            // A page that ended with a folder goes on behind it.
            Some(folder) if folder == after => match behind(folder) {
                Some(behind) => behind,
                None => return Ok(page),
            },
            _ => next_name(after),
        };
    }
    let mut last = None;
    while let Some((name, item)) = names.at_or_after(&cursor)? {
        if !name.starts_with(&query.prefix) {
            break;
        }
        if page.entries.len() + page.folders.len() == query.limit {
            page.next = last;
            break;
        }
        match folder_of(&name, query).map(str::to_owned) {
            Some(folder) => {
                let onward = behind(&folder);
                last = Some(folder.clone());
                page.folders.push(folder);
                match onward {
                    Some(onward) => cursor = onward,
                    None => break,
                }
            }
            None => {
                cursor = next_name(&name);
                last = Some(name.clone());
                page.entries.push((name, item));
            }
        }
    }
    Ok(page)
}

/// The folder that a name is in, below the prefix.
fn folder_of<'a>(name: &'a str, query: &Query) -> Option<&'a str> {
    let delimiter = query.delimiter.as_deref().filter(|it| !it.is_empty())?;
    let rest = name.strip_prefix(query.prefix.as_str())?;
    let end = rest.find(delimiter)? + delimiter.len();
    Some(&name[..query.prefix.len() + end])
}

/// The first name after this one.
fn next_name(name: &str) -> String {
    format!("{name}\0")
}

/// The first text that is after all those that begin with this one, if there is any.
fn behind(prefix: &str) -> Option<String> {
    let mut kept = prefix.to_owned();
    while let Some(last) = kept.pop() {
        let mut following = (u32::from(last) + 1)..=u32::from(char::MAX);
        // Not every number is a character.
        if let Some(next) = following.find_map(char::from_u32) {
            kept.push(next);
            return Some(kept);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    impl Names for BTreeSet<String> {
        type Item = ();
        type Error = Infallible;

        fn at_or_after(&self, name: &str) -> Result<Option<(String, ())>, Infallible> {
            let mut found = self.range(name.to_owned()..);
            Ok(found.next().map(|name| (name.clone(), ())))
        }
    }

    fn names(all: &[&str]) -> BTreeSet<String> {
        all.iter().map(|it| (*it).to_owned()).collect()
    }

    fn told(names: &BTreeSet<String>, query: &Query) -> Vec<String> {
        let Ok(page) = page(names, query);
        let entries = page.entries.into_iter().map(|(name, ())| name);
        let mut told: Vec<String> = entries.chain(page.folders).collect();
        told.sort();
        told.extend(page.next.map(|it| format!("... {it}")));
        told
    }

    #[test]
    fn a_page_has_names_and_folders_in_their_order() {
        let all = names(&["a", "a/1", "a/2", "a0", "b/", "b/x/y", "c", "ä"]);
        let query = |prefix: &str, delimiter: &str, after: &str, limit| Query {
            prefix: prefix.to_owned(),
            delimiter: Some(delimiter.to_owned()).filter(|it| !it.is_empty()),
            after: Some(after.to_owned()).filter(|it| !it.is_empty()),
            limit,
        };
        for (query, expected) in [
            (
                query("", "/", "", 9),
                &["a", "a/", "a0", "b/", "c", "ä"][..],
            ),
            (query("", "/", "", 2), &["a", "a/", "... a/"]),
            (query("", "/", "a/", 2), &["a0", "b/", "... b/"]),
            (query("", "/", "b/", 2), &["c", "ä"]),
            (query("a/", "/", "", 9), &["a/1", "a/2"]),
            (query("b/", "/", "", 9), &["b/", "b/x/"]),
            (query("a", "", "a/1", 9), &["a/2", "a0"]),
            (query("a/", "", "z", 9), &[]),
            (query("", "", "", 0), &[]),
            (query("nothing", "/", "", 9), &[]),
        ] {
            assert_eq!(told(&all, &query), expected, "{query:?}");
        }
    }

    proptest! {
        #[test]
        fn pages_together_are_what_there_is(
            all in prop::collection::btree_set("[ab/\u{d7ff}\u{10ffff}]{1,5}", 0..30),
            prefix in "[ab/]{0,2}",
            delimiter in prop::option::of("/|a|b/"),
            limit in 1_usize..5,
        ) {
            let mut query = Query { prefix, delimiter, after: None, limit };
            let below = all.iter().filter(|it| it.starts_with(&query.prefix));
            let expected: BTreeSet<String> = below
                .map(|it| folder_of(it, &query).unwrap_or(it).to_owned())
                .collect();
            let mut found = Vec::new();
            loop {
                let Ok(page) = page(&all, &query);
                let count = page.entries.len() + page.folders.len();
                prop_assert!(count <= limit);
                prop_assert!(page.next.is_none() || count == limit);
                let entries = page.entries.into_iter().map(|(name, ())| name);
                let mut here: Vec<String> = entries.chain(page.folders).collect();
                here.sort();
                prop_assert_eq!(page.next.as_ref().or(here.last()), here.last());
                found.extend(here);
                match page.next {
                    Some(next) => query.after = Some(next),
                    None => break,
                }
            }
            // In order, each once.
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
