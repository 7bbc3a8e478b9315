//! The text format of Prometheus (0.0.4), made from the OpenMetrics page.
//!
//! What differs: a counter is declared under the name of its samples, which ends in `_total`; what
//! has no type is `untyped`; there is no end mark.

use std::fmt::Write as _;

/// The page in the format that every Prometheus reads.
pub(super) fn prometheus(open_metrics: &str) -> String {
    let mut page = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            // It is told which name it is for by the line after it.
            help = rest.split_once(' ').map(|(_, text)| text);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "unknown"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            // Writing to a String cannot fail.
            if let Some(help) = help.take() {
                let _ = writeln!(page, "# HELP {name}{suffix} {help}");
            }
            let _ = writeln!(page, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with("# EOF") && !line.starts_with("# UNIT ") {
            page.push_str(line);
            page.push('\n');
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_the_same_in_both_formats() {
        let page = "\
# HELP a_requests Calls, counted.
# TYPE a_requests counter
a_requests_total{verb=\"get\"} 3
# HELP a_seconds How long.
# TYPE a_seconds histogram
# UNIT a_seconds seconds
a_seconds_sum 1.5
a_seconds_count 1
a_seconds_bucket{le=\"+Inf\"} 1
# HELP a_old_count Of another time.
# TYPE a_old_count unknown
a_old_count 7
# EOF
";
        insta::assert_snapshot!(prometheus(page), @r#"
        # HELP a_requests_total Calls, counted.
        # TYPE a_requests_total counter
        a_requests_total{verb="get"} 3
        # HELP a_seconds How long.
        # TYPE a_seconds histogram
        a_seconds_sum 1.5
        a_seconds_count 1
        a_seconds_bucket{le="+Inf"} 1
        # HELP a_old_count Of another time.
        # TYPE a_old_count untyped
        a_old_count 7
        "#);
    }
}
