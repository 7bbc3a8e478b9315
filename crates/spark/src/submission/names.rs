//! How Spark makes names and labels out of the application's name.

/// The longest name of a Service, and the longest value of a label.
pub(super) const MAX_LABEL: usize = 63;

/// What most names of a submission start with: the application's name and a unique id, with
/// everything replaced that a DNS name cannot hold.
pub(super) fn resource_prefix(app_name: &str, unique: &str) -> String {
    let name = dns_like(&format!("{app_name}-{unique}"));
    let name = name.strip_prefix('-').unwrap_or(&name);
    match name.chars().next() {
        // A name may not start with a digit; Spark replaces it instead of putting a letter first.
        Some(first) if first.is_ascii_digit() => format!("x{}", &name[1..]),
        _ => name.to_owned(),
    }
}

/// The value of the label `spark-app-name`.
pub(super) fn app_name_label(app_name: &str) -> String {
    let name = dns_like(app_name);
    let name = &name[..name.len().min(MAX_LABEL)];
    let name = name.strip_prefix('-').unwrap_or(name);
    name.strip_suffix('-').unwrap_or(name).to_owned()
}

/// Lower case, other characters than letters, digits and dashes replaced by a dash, runs of
/// dashes made one. The result is ASCII.
fn dns_like(text: &str) -> String {
    // Java's trim() cuts every control character too.
    let text = text.trim_matches(|c: char| c <= ' ').to_lowercase();
    let mut name = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            name.push(c);
        } else if !name.ends_with('-') {
            name.push('-');
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_become_dns_labels_as_spark_makes_them() {
        for (app, prefix, label) in [
            ("spark-pi", "spark-pi-0af1", "spark-pi"),
            ("2024-report", "x024-report-0af1", "2024-report"),
            ("--a--", "a-0af1", "a"),
            ("  x y  ", "x-y-0af1", "x-y"),
            ("-9a", "xa-0af1", "9a"),
            ("___", "xaf1", ""),
            (
                "My App! (v2.0) __été--X",
                "my-app-v2-0-t-x-0af1",
                "my-app-v2-0-t-x",
            ),
        ] {
            assert_eq!(resource_prefix(app, "0af1"), prefix, "{app}");
            assert_eq!(app_name_label(app), label, "{app}");
        }
    }

    #[test]
    fn a_label_is_cut_at_63_and_does_not_end_with_a_dash() {
        assert_eq!(
            app_name_label(&format!("{}-b", "a".repeat(62))),
            "a".repeat(62)
        );
    }

    proptest! {
        #[test]
        fn a_label_value_is_always_valid(name in ".{0,200}") {
            let label = app_name_label(&name);
            prop_assert!(label.len() <= MAX_LABEL);
            prop_assert!(!label.starts_with('-') && !label.ends_with('-'), "{label}");
            prop_assert!(label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
        }
    }
}
