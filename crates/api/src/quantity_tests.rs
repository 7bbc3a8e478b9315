//! The cases of apimachinery's quantity tests, as data: (text, billionths, notation), then
//! (billionths, notation, canonical text, another text of the same value or nothing).

use proptest::prelude::*;

use super::{
    Notation::{self, Binary, Decimal, Exponent},
    *,
};

const PARSE: &[(&str, i128, Notation)] = &[
    ("0", 0, Decimal),
    ("0n", 0, Decimal),
    ("0u", 0, Decimal),
    ("0m", 0, Decimal),
    ("0Ki", 0, Binary),
    ("0k", 0, Decimal),
    ("0Mi", 0, Binary),
    ("0M", 0, Decimal),
    ("0Gi", 0, Binary),
    ("0G", 0, Decimal),
    ("0Ti", 0, Binary),
    ("0T", 0, Decimal),
    ("1", 1_000_000_000, Decimal),
    ("1Ki", 1_024_000_000_000, Binary),
    ("8Ki", 8_192_000_000_000, Binary),
    ("7Mi", 7_340_032_000_000_000, Binary),
    ("6Gi", 6_442_450_944_000_000_000, Binary),
    ("5Ti", 5_497_558_138_880_000_000_000, Binary),
    ("4Pi", 4_503_599_627_370_496_000_000_000, Binary),
    ("3Ei", 3_458_764_513_820_540_928_000_000_000, Binary),
    ("10Ti", 10_995_116_277_760_000_000_000, Binary),
    ("100Ti", 109_951_162_777_600_000_000_000, Binary),
    ("5n", 5, Decimal),
    ("4u", 4_000, Decimal),
    ("3m", 3_000_000, Decimal),
    ("9", 9_000_000_000, Decimal),
    ("8k", 8_000_000_000_000, Decimal),
    ("50k", 50_000_000_000_000, Decimal),
    ("7M", 7_000_000_000_000_000, Decimal),
    ("6G", 6_000_000_000_000_000_000, Decimal),
    ("5T", 5_000_000_000_000_000_000_000, Decimal),
    ("40T", 40_000_000_000_000_000_000_000, Decimal),
    ("300T", 300_000_000_000_000_000_000_000, Decimal),
    ("2P", 2_000_000_000_000_000_000_000_000, Decimal),
    ("1E", 1_000_000_000_000_000_000_000_000_000, Decimal),
    ("1E-3", 1_000_000, Exponent),
    ("1e3", 1_000_000_000_000, Exponent),
    ("1E6", 1_000_000_000_000_000, Exponent),
    ("1e9", 1_000_000_000_000_000_000, Exponent),
    ("1E12", 1_000_000_000_000_000_000_000, Exponent),
    ("1e15", 1_000_000_000_000_000_000_000_000, Exponent),
    ("1E18", 1_000_000_000_000_000_000_000_000_000, Exponent),
    ("1e14", 100_000_000_000_000_000_000_000, Exponent),
    ("1e13", 10_000_000_000_000_000_000_000, Exponent),
    ("1e3", 1_000_000_000_000, Exponent),
    ("100.035k", 100_035_000_000_000, Decimal),
    ("0.001", 1_000_000, Decimal),
    ("0.0005k", 500_000_000, Decimal),
    ("0.005", 5_000_000, Decimal),
    ("0.05", 50_000_000, Decimal),
    ("0.5", 500_000_000, Decimal),
    ("0.00050k", 500_000_000, Decimal),
    ("0.00500", 5_000_000, Decimal),
    ("0.05000", 50_000_000, Decimal),
    ("0.50000", 500_000_000, Decimal),
    ("0.5e0", 500_000_000, Exponent),
    ("0.5e-1", 50_000_000, Exponent),
    ("0.5e-2", 5_000_000, Exponent),
    ("0.5e0", 500_000_000, Exponent),
    ("10.035M", 10_035_000_000_000_000, Decimal),
    ("1.2e3", 1_200_000_000_000, Exponent),
    ("1.3E+6", 1_300_000_000_000_000, Exponent),
    ("1.40e9", 1_400_000_000_000_000_000, Exponent),
    ("1.53E12", 1_530_000_000_000_000_000_000, Exponent),
    ("1.6e15", 1_600_000_000_000_000_000_000_000, Exponent),
    ("1.7E18", 1_700_000_000_000_000_000_000_000_000, Exponent),
    ("9.01", 9_010_000_000, Decimal),
    ("8.1k", 8_100_000_000_000, Decimal),
    ("7.123456M", 7_123_456_000_000_000, Decimal),
    ("6.987654321G", 6_987_654_321_000_000_000, Decimal),
    ("5.444T", 5_444_000_000_000_000_000_000, Decimal),
    ("40.1T", 40_100_000_000_000_000_000_000, Decimal),
    ("300.2T", 300_200_000_000_000_000_000_000, Decimal),
    ("2.5P", 2_500_000_000_000_000_000_000_000, Decimal),
    ("1.01E", 1_010_000_000_000_000_000_000_000_000, Decimal),
    ("3.001n", 4, Decimal),
    ("1.1E-9", 2, Exponent),
    ("0.0000000001", 1, Decimal),
    ("0.0000000005", 1, Decimal),
    ("0.00000000050", 1, Decimal),
    ("0.5e-9", 1, Exponent),
    ("0.9n", 1, Decimal),
    ("0.00000012345", 124, Decimal),
    ("0.00000012354", 124, Decimal),
    ("9Ei", 9_223_372_036_854_775_807_000_000_000, Binary),
    (
        "9223372036854775807Ki",
        9_223_372_036_854_775_807_000_000_000,
        Binary,
    ),
    ("12E", 12_000_000_000_000_000_000_000_000_000, Decimal),
    ("100.035Ki", 102_435_840_000_000, Binary),
    ("0.5Mi", 524_288_000_000_000, Binary),
    ("0.05Gi", 53_687_091_200_000_000, Binary),
    ("0.025Ti", 27_487_790_694_400_000_000, Binary),
    ("0.000000000001Ki", 2, Decimal),
    (".001", 1_000_000, Decimal),
    (".0001k", 100_000_000, Decimal),
    ("1.", 1_000_000_000, Decimal),
    ("1.G", 1_000_000_000_000_000_000, Decimal),
];

const CANONICAL: &[(i128, Notation, &str, &str)] = &[
    (1_073_741_824_000_000_000, Binary, "1Gi", "1024Mi"),
    (314_572_800_000_000_000, Binary, "300Mi", "307200Ki"),
    (6_144_000_000_000, Binary, "6Ki", ""),
    (1_074_815_565_824_000_000_000, Binary, "1001Gi", "1025024Mi"),
    (1_099_511_627_776_000_000_000, Binary, "1Ti", "1024Gi"),
    (5_000_000_000, Binary, "5", "5000m"),
    (500_000_000, Binary, "500m", "0.5"),
    (1_000_000_000_000_000_000, Decimal, "1G", "1000M"),
    (1_000_000_000_000_000_000, Decimal, "1G", "0.001T"),
    (1_000_000_000_000_000_000, Decimal, "1G", ""),
    (1_000_000_000_000_000_000, Decimal, "1G", ""),
    (1_000_000, Decimal, "1m", "1000u"),
    (80_000_000, Decimal, "80m", ""),
    (1_080_000_000, Decimal, "1080m", "1.08"),
    (1_080_000_000, Decimal, "1080m", "1080000000n"),
    (1_080_000_000, Decimal, "1080m", ""),
    (300_000_000_000_000_000, Decimal, "300M", ""),
    (1_000_000_000_000_000_000_000, Decimal, "1T", ""),
    (1_234_567_000_000_000_000_000, Decimal, "1234567M", ""),
    (1_234_567_000_000, Binary, "1234567m", ""),
    (3_000_000_000_000, Decimal, "3k", ""),
    (1_025_000_000_000, Binary, "1025", ""),
    (0, Decimal, "0", ""),
    (0, Binary, "0", ""),
    (1_000_000_000_000_000_000, Exponent, "1e9", ".001e12"),
    (1_000_000, Exponent, "1e-3", "0.001e0"),
    (1, Exponent, "1e-9", "1000e-12"),
    (80_000_000, Exponent, "80e-3", ""),
    (300_000_000_000_000_000, Exponent, "300e6", ""),
    (1_000_000_000_000_000_000_000, Exponent, "1e12", ""),
    (1_000_000_000_000, Exponent, "1e3", ""),
    (3_000_000_000_000, Exponent, "3e3", ""),
    (3_000_000_000_000, Decimal, "3k", ""),
    (0, Exponent, "0", "00"),
    (1, Decimal, "1n", ""),
    (80, Decimal, "80n", ""),
    (1_080, Decimal, "1080n", ""),
    (1_080, Decimal, "1080n", ""),
    (1_080, Decimal, "1080n", ""),
    (1_000, Decimal, "1u", ""),
    (80_000, Decimal, "80u", ""),
    (1_080_000, Decimal, "1080u", ""),
];

const RE_EMITTED: &[(&str, &str)] = &[
    ("1Ki", "1Ki"),
    ("1Mi", "1Mi"),
    ("1Gi", "1Gi"),
    ("1024Mi", "1Gi"),
    ("1000M", "1G"),
    (".001Ki", "1024m"),
    (".000001Ki", "1024u"),
    (".000000001Ki", "1024n"),
    (".000000000001Ki", "2n"),
];

const REFUSED: &[&str] = &[
    "", "1.1.M", "1+1.0M", "0.1mi", "0.1am", "aoeu", ".5i", "1i", "-3.01i", "-3.01e-", " 1", "1 ",
    ".", "-", "1Gb", "1e99999", "--1",
];

fn parse(text: &str) -> Quantity {
    text.parse()
        .unwrap_or_else(|error| panic!("{text:?} {error}"))
}

#[test]
fn quantities_are_read_as_kubernetes_reads_them() {
    for (text, nanos, notation) in PARSE {
        for (sign, factor) in [("", 1), ("+", 1), ("-", -1)] {
            let found = parse(&format!("{sign}{text}"));
            assert_eq!(found.nanos, nanos * factor, "{sign}{text}");
            assert_eq!(found.notation, *notation, "{sign}{text}");
        }
    }
}

#[test]
fn quantities_are_written_in_canonical_form() {
    for (nanos, notation, canonical, alternate) in CANONICAL {
        let quantity = Quantity {
            nanos: *nanos,
            notation: *notation,
        };
        assert_eq!(quantity.to_string(), *canonical);
        assert_eq!(parse(canonical).to_string(), *canonical);
        if !alternate.is_empty() {
            assert_eq!(parse(alternate).to_string(), *canonical, "{alternate}");
        }
        if *nanos != 0 {
            let negative = Quantity {
                nanos: -nanos,
                notation: *notation,
            };
            assert_eq!(negative.to_string(), format!("-{canonical}"));
        }
    }
}

#[test]
fn reading_and_writing_gives_the_canonical_text() {
    for (text, canonical) in RE_EMITTED {
        assert_eq!(parse(text).to_string(), *canonical);
        assert_eq!(
            parse(&format!("-{text}")).to_string(),
            format!("-{canonical}")
        );
    }
}

#[test]
fn what_is_not_a_quantity_is_refused() {
    for text in REFUSED {
        assert!(text.parse::<Quantity>().is_err(), "{text:?} was accepted");
    }
}

#[test]
fn quantities_compare_by_value() {
    for (a, b, expected) in [
        ("0", "0", Ordering::Equal),
        ("100m", "50m", Ordering::Greater),
        ("50m", "100m", Ordering::Less),
        ("10000T", "100Gi", Ordering::Greater),
        ("1024Mi", "1Gi", Ordering::Equal),
        ("1e3", "1k", Ordering::Equal),
    ] {
        assert_eq!(parse(a).cmp(&parse(b)), expected, "{a} {b}");
    }
}

#[test]
fn a_sum_keeps_the_notation_of_what_is_not_zero() {
    for (a, b, sum) in [
        ("0", "1Mi", "1Mi"),
        ("1Mi", "1Mi", "2Mi"),
        ("1k", "1Ki", "2024"),
        ("500m", "1", "1500m"),
        ("1Gi", "0", "1Gi"),
    ] {
        assert_eq!(parse(a).checked_add(parse(b)).unwrap().to_string(), sum);
    }
    assert_eq!(
        parse("1").checked_sub(parse("250m")).unwrap().to_string(),
        "750m"
    );
}

#[test]
fn whole_units_round_up() {
    assert_eq!(parse("1500m").units(), Some(2));
    assert_eq!(parse("1").millis(), Some(1000));
    assert_eq!(parse("1u").millis(), Some(1));
}

#[test]
fn json_may_hold_a_number() {
    let read = |text: &str| serde_json::from_str::<Quantity>(text).map(|found| found.to_string());
    assert_eq!(read("2").unwrap(), "2");
    assert_eq!(read("0.5").unwrap(), "500m");
    assert_eq!(read("\"1Gi\"").unwrap(), "1Gi");
    assert!(read("true").is_err());
    assert!(read("\"1Gb\"").unwrap_err().to_string().contains("suffix"));
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        nanos in -(1_i128 << 90)..(1_i128 << 90),
        notation in prop_oneof![Just(Binary), Just(Decimal), Just(Exponent)],
    ) {
        let nanos = if notation == Binary { nanos.clamp(-BINARY_MAX, BINARY_MAX) } else { nanos };
        let quantity = Quantity { nanos, notation };
        prop_assert_eq!(parse(&quantity.to_string()), quantity);
    }
}
