//! Numbers as Java writes them.

/// A number as Java writes a double.
pub(super) fn java_double(number: f64) -> String {
    let magnitude = number.abs();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        return format!("{number:?}");
    }
    let scientific = format!("{number:e}");
    match scientific.split_once('e') {
        Some((digits, exponent)) if digits.contains('.') => format!("{digits}E{exponent}"),
        Some((digits, exponent)) => format!("{digits}.0E{exponent}"),
        None => scientific,
    }
}

#[cfg(test)]
mod tests {
    use super::java_double;

    #[test]
    fn doubles_are_written_as_java_writes_them() {
        for (number, text) in [
            (0.1, "0.1"),
            (1.0, "1.0"),
            (0.0, "0.0"),
            (0.0005, "5.0E-4"),
            (1e7, "1.0E7"),
            (12_345_678.5, "1.23456785E7"),
            (0.30, "0.3"),
        ] {
            assert_eq!(java_double(number), text);
        }
    }
}
