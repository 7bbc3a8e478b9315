//! Patterns of names and of images.

/// A pattern in which `*` stands for any characters, also for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing was given.
    #[error("is empty; write a name, or a beginning of names with * behind it")]
    Empty,
    /// Blanks are in no name.
    #[error("has a blank or control character; remove it")]
    Blank,
    /// A registry that is known in part only could be anybody's.
    #[error(
        "leaves the registry open; write it whole, as in registry.example.com/*, or * for all images"
    )]
    OpenRegistry,
}

impl Pattern {
    /// Reads a pattern.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(PatternError::Blank);
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether it stands for this text.
    pub fn matches(&self, text: &str) -> bool {
        let mut pieces = self.0.split('*');
        // There is always a first piece.
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = text.strip_prefix(first) else {
            return false;
        };
        let mut pieces: Vec<&str> = pieces.collect();
        let Some(last) = pieces.pop() else {
            return rest.is_empty();
        };
        for piece in pieces {
            let Some((_, behind)) = rest.split_once(piece) else {
                return false;
            };
            rest = behind;
        }
        rest.ends_with(last)
    }
}

/// A pattern of images. Without `*` it stands for a repository with all that is below it, or, with a
/// tag or digest, for one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePattern(Pattern);

impl ImagePattern {
    /// Reads a pattern. An image without a registry is one of docker.io, as for every node.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        Pattern::new(text)?;
        if text == "*" {
            return Pattern::new(text).map(Self);
        }
        let whole = in_full(text);
        let (registry, _) = whole.split_once('/').unwrap_or((&whole, ""));
        if registry.contains('*') {
            return Err(PatternError::OpenRegistry);
        }
        Pattern::new(&whole).map(Self)
    }

    /// Whether it stands for this image.
    pub fn matches(&self, image: &str) -> bool {
        let image = in_full(image);
        if self.0.matches(&image) {
            return true;
        }
        if self.0.0.contains('*') {
            return false;
        }
        let below = image.strip_prefix(self.0.0.trim_end_matches('/'));
        below.is_some_and(|below| below.starts_with(['/', ':', '@']))
    }
}

/// An image with its registry and, on docker.io, the folder of official images.
fn in_full(image: &str) -> String {
    let (first, rest) = image.split_once('/').unwrap_or(("", image));
    let is_registry = first.contains(['.', ':']) || first == "localhost";
    let (registry, path) = match first {
        "index.docker.io" => ("docker.io", rest),
        first if is_registry => (first, rest),
        _ => ("docker.io", image),
    };
    if registry == "docker.io" && !path.contains('/') && !path.starts_with('*') {
        return format!("docker.io/library/{path}");
    }
    format!("{registry}/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text, expected) in [
            ("spark", "spark", true),
            ("spark", "sparks", false),
            ("etl-*", "etl-", true),
            ("etl-*", "etl-a-b", true),
            ("etl-*", "etl", false),
            ("*", "", true),
            ("*-job", "a-job", true),
            ("*-job", "a-jobs", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            (
                "spark.kubernetes.*",
                "spark.kubernetes.file.upload.path",
                true,
            ),
        ] {
            let found = Pattern::new(pattern).unwrap().matches(text);
            assert_eq!(found, expected, "{pattern} and {text}");
        }
    }

    #[test]
    fn images_are_compared_in_full_and_a_repository_ends_where_its_name_does() {
        for (pattern, image, expected) in [
            ("registry.example.com/*", "registry.example.com/a/b:1", true),
            (
                "registry.example.com/*",
                "registry.example.com.evil.org/a",
                false,
            ),
            (
                "registry.example.com/*",
                "evil.org/registry.example.com/a",
                false,
            ),
            (
                "registry.example.com/spark",
                "registry.example.com/spark:4.3.0",
                true,
            ),
            (
                "registry.example.com/spark",
                "registry.example.com/spark@sha256:0",
                true,
            ),
            (
                "registry.example.com/spark",
                "registry.example.com/spark/py:1",
                true,
            ),
            (
                "registry.example.com/spark",
                "registry.example.com/sparkling:1",
                false,
            ),
            (
                "registry.example.com/spark:4.3.0",
                "registry.example.com/spark:4.3.1",
                false,
            ),
            (
                "registry.example.com:5000/*",
                "registry.example.com:5000/a",
                true,
            ),
            (
                "registry.example.com:5000/*",
                "registry.example.com/a",
                false,
            ),
            ("apache/spark", "docker.io/apache/spark:4.3.0", true),
            (
                "apache/spark:4.*",
                "index.docker.io/apache/spark:4.3.0",
                true,
            ),
            ("docker.io/apache/*", "apache/spark", true),
            ("spark", "docker.io/library/spark:4", true),
            ("spark", "apache/spark", false),
            ("docker.io/*", "spark", true),
            ("localhost/spark", "localhost/spark:1", true),
            ("*", "anything/at:all", true),
        ] {
            let found = ImagePattern::new(pattern).unwrap().matches(image);
            assert_eq!(found, expected, "{pattern} and {image}");
        }
    }

    #[test]
    fn a_pattern_that_leaves_the_registry_open_is_refused() {
        for text in [
            "registry.example*",
            "*.example.com/spark",
            "regis*.com/spark",
        ] {
            let found = ImagePattern::new(text);
            let is_open = found == Err(PatternError::OpenRegistry);
            // Without a dot or colon before its first slash it is a repository of docker.io.
            let of_docker = found.is_ok_and(|it| !it.matches(&text.replace('*', "x.org/evil")));
            assert!(is_open || of_docker, "{text}");
        }
        assert_eq!(ImagePattern::new(""), Err(PatternError::Empty));
        assert_eq!(ImagePattern::new("a b"), Err(PatternError::Blank));
    }
}
