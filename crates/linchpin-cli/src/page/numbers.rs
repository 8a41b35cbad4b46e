//! Numbers as people read them.

use std::time::Duration;

const UNITS: [(u128, &str); 4] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1000, "us"), (1, "ns")];

/// A time in ns, us, ms or s, to three significant digits: `1.25 ms`, `940 ns`.
pub(crate) fn duration(time: Duration) -> String {
    let nanoseconds = rounded(time.as_nanos());
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| nanoseconds >= *unit).unwrap_or((1, "ns"));
    let whole = nanoseconds / unit;
    let digits = 3_usize.saturating_sub(whole.to_string().len());
    if digits == 0 || unit == 1 {
        return format!("{whole} {name}");
    }
    let fraction = nanoseconds % unit * 1000 / unit;
    let fraction = format!("{fraction:03}");
    format!("{whole}.{} {name}", &fraction[..digits])
}

/// The same without zeros at the end: for an axis, `1 ms`.
pub(crate) fn short_duration(time: Duration) -> String {
    let text = duration(time);
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

/// How many in a second, to three significant digits: `950/s`, `12.5 k/s`.
pub(crate) fn rate(per_second: f64) -> String {
    format!("{}/s", count(per_second))
}

/// A number to three significant digits, thousands as k and millions as M, without zeros at the end: `64`, `12.5 k`.
pub(crate) fn count(number: f64) -> String {
    let scaled = [(1e6, " M"), (1e3, " k"), (1.0, "")];
    // What would be rounded up to the next unit is shown in it.
    let (unit, name) = scaled.into_iter().find(|(unit, _)| number.abs() >= unit * 0.9995).unwrap_or((1.0, ""));
    let value = number / unit;
    let digits = if value.abs() >= 99.95 {
        0
    } else if value.abs() >= 9.995 {
        1
    } else {
        2
    };
    let text = format!("{value:.digits$}");
    let text = if digits > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{name}")
}

/// A size in bytes, with KiB and MiB where they come out even.
pub(crate) fn bytes(size: usize) -> String {
    match size {
        0 => "0 bytes".to_owned(),
        _ if size.is_multiple_of(1 << 20) => format!("{} MiB", size >> 20),
        _ if size.is_multiple_of(1 << 10) => format!("{} KiB", size >> 10),
        _ => format!("{size} bytes"),
    }
}

/// To three significant digits.
fn rounded(number: u128) -> u128 {
    let digits = number.max(1).ilog10();
    let step = 10_u128.pow(digits.saturating_sub(2));
    (number + step / 2) / step * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_three_digits_and_the_right_unit() {
        for (nanoseconds, expected) in [
            (0, "0 ns"),
            (7, "7 ns"),
            (940, "940 ns"),
            (1_000, "1.00 us"),
            (9_996, "10.0 us"),
            (12_345, "12.3 us"),
            (999_499, "999 us"),
            (999_500, "1.00 ms"),
            (1_005_000, "1.01 ms"),
            (2_000_000_000, "2.00 s"),
            (59_999_999_999, "60.0 s"),
            (123_456_000_000, "123 s"),
            (7_205_000_000_000, "7210 s"),
        ] {
            assert_eq!(duration(Duration::from_nanos(nanoseconds)), expected);
        }
        assert_eq!(short_duration(Duration::from_millis(1)), "1 ms");
        assert_eq!(short_duration(Duration::from_micros(1500)), "1.5 ms");
        assert_eq!(short_duration(Duration::from_millis(100)), "100 ms");
        assert!(duration(Duration::MAX).ends_with(" s"));
    }

    #[test]
    fn a_number_has_three_digits_and_thousands() {
        for (number, expected) in [
            (0.0, "0"),
            (0.5, "0.5"),
            (64.0, "64"),
            (99.96, "100"),
            (100.0, "100"),
            (999.0, "999"),
            (999.9, "1 k"),
            (12_500.0, "12.5 k"),
            (250_000.0, "250 k"),
            (1_000_000.0, "1 M"),
        ] {
            assert_eq!(count(number), expected);
        }
        assert_eq!(rate(12_500.0), "12.5 k/s");
        assert_eq!(
            (bytes(512 << 10).as_str(), bytes(1 << 20).as_str(), bytes(1000).as_str()),
            ("512 KiB", "1 MiB", "1000 bytes")
        );
    }
}
