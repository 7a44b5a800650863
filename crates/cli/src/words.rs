//! Figures as people read them.

use std::time::Duration;

/// A count with its thousands apart: `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun: `1 row`, `2 rows`.
pub fn counted(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

/// A duration: `0 s`, `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`.
pub fn span(duration: Duration) -> String {
    let tenths = (duration.as_millis() + 50) / 100;
    let seconds = duration.as_secs() + u64::from(duration.subsec_millis() >= 500);
    match seconds {
        _ if tenths == 0 => "0 s".to_owned(),
        _ if tenths < 100 => format!("{}.{} s", tenths / 10, tenths % 10),
        0..60 => format!("{seconds} s"),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        _ => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
    }
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    match small {
        0 => format!("{large} {large_unit}"),
        _ => format!("{large} {large_unit} {small} {small_unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped() {
        for (n, expect) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(n), expect);
        }
        assert_eq!(counted(1, "page"), "1 page");
        assert_eq!(counted(2000, "page"), "2,000 pages");
    }

    #[test]
    fn durations_have_at_most_two_units() {
        let check = |millis, expect: &str| assert_eq!(span(Duration::from_millis(millis)), expect);
        check(0, "0 s");
        check(49, "0 s");
        check(50, "0.1 s");
        check(3240, "3.2 s");
        check(9_949, "9.9 s");
        check(9_950, "10 s");
        check(59_499, "59 s");
        check(59_500, "1 min");
        check(200_000, "3 min 20 s");
        check(3_600_000, "1 h");
        check(7_500_000, "2 h 5 min");
    }
}
