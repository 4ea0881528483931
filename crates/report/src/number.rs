//! Numbers as people read them: thousands separators, decimal units (1 MB is 1,000,000 bytes), three significant
//! digits, and never `NaN` or a panic.

/// `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `+1,234` or `-1,234`; `0` has no sign.
pub fn thousands_signed(number: i64) -> String {
    match number {
        0 => "0".to_owned(),
        _ => format!("{}{}", if number < 0 { '-' } else { '+' }, thousands(number.unsigned_abs())),
    }
}

/// `999 B`, `1.23 kB`, `45.6 MB`, `789 GB`.
pub fn bytes(number: u64) -> String {
    let (value, unit) = scaled(number as f64);
    format!("{value} {unit}")
}

/// `+1.23 kB` or `-1.23 kB`; `0 B` has no sign.
pub fn bytes_signed(number: i64) -> String {
    let sign = match number {
        0 => "",
        1.. => "+",
        _ => "-",
    };
    format!("{sign}{}", bytes(number.unsigned_abs()))
}

/// Bytes per hour: `+1.23 GB/h`; `0 B/h` where it rounds to nothing.
pub fn rate(bytes_per_hour: f64) -> String {
    if !bytes_per_hour.is_finite() {
        return "? B/h".to_owned();
    }
    let (value, unit) = scaled(bytes_per_hour.abs());
    let sign = match value.as_str() {
        "0" => "",
        _ if bytes_per_hour < 0.0 => "-",
        _ => "+",
    };
    format!("{sign}{value} {unit}/h")
}

/// A rate with its interval in the same unit: `+1.20 GB/h [1.12, 1.31]`.
pub fn rate_interval(bytes_per_hour: f64, interval: [f64; 2]) -> String {
    if !bytes_per_hour.is_finite() || interval.iter().any(|end| !end.is_finite()) {
        return rate(bytes_per_hour);
    }
    let step = steps(bytes_per_hour.abs());
    let [low, high] = interval.map(|end| three_digits(end / 1000_f64.powi(step as i32)));
    format!("{} [{low}, {high}]", rate(bytes_per_hour))
}

/// A part of 1 as percent: `96 %`, `0.4 %`, `<0.1 %`.
pub fn percent(part: f64) -> String {
    let percent = part * 100.0;
    match percent {
        _ if !percent.is_finite() => "? %".to_owned(),
        0.0 => "0 %".to_owned(),
        _ if percent.abs() < 0.1 => "<0.1 %".to_owned(),
        // Not rounded up to a whole that it is not.
        _ if percent > 99.0 && percent < 100.0 => format!("{:.1} %", (percent * 10.0).floor() / 10.0),
        _ if percent.abs() < 10.0 => format!("{percent:.1} %"),
        _ => format!("{percent:.0} %"),
    }
}

/// `1.5 s`, `90 s`, `12 min`, `3.5 h`.
pub fn duration(seconds: f64) -> String {
    match seconds {
        _ if !seconds.is_finite() => "? s".to_owned(),
        _ if seconds < 10.0 => format!("{seconds:.1} s"),
        _ if seconds < 300.0 => format!("{seconds:.0} s"),
        _ if seconds < 7_200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3_600.0),
    }
}

/// As [`duration`], with what is shorter: `40 µs`, `120 ms`.
pub fn short_time(seconds: f64) -> String {
    match seconds {
        _ if !seconds.is_finite() => "? s".to_owned(),
        _ if seconds < 0.001 => format!("{:.0} µs", seconds * 1e6),
        _ if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        _ => duration(seconds),
    }
}

const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/// A value and its unit, three significant digits.
fn scaled(value: f64) -> (String, &'static str) {
    let step = steps(value);
    (three_digits(value / 1000_f64.powi(step as i32)), UNITS[step])
}

/// Which unit: so that rounding never shows `1000`.
fn steps(value: f64) -> usize {
    let mut value = value;
    let mut step = 0;
    while value >= 999.5 && step + 1 < UNITS.len() {
        value /= 1000.0;
        step += 1;
    }
    step
}

fn three_digits(value: f64) -> String {
    let size = value.abs();
    match value {
        _ if value.fract() == 0.0 || size >= 99.95 => format!("{value:.0}"),
        _ if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_three_digits_and_decimal_units() {
        for (number, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1 kB"),
            (1_234, "1.23 kB"),
            (45_600_000, "45.6 MB"),
            (768_400_000, "768 MB"),
            (999_999, "1.00 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn signs_are_for_changes_only() {
        assert_eq!(bytes_signed(0), "0 B");
        assert_eq!(bytes_signed(i64::MIN), "-9.22 EB");
        assert_eq!(thousands_signed(-1_234_567), "-1,234,567");
        assert_eq!(thousands_signed(12), "+12");
        assert_eq!(thousands(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn interval_shares_the_unit_of_its_rate() {
        assert_eq!(rate_interval(1.2e9, [1.12e9, 1.31e9]), "+1.20 GB/h [1.12, 1.31]");
        assert_eq!(rate_interval(2e6, [-50.0, 4e6]), "+2 MB/h [-0.00, 4]");
        assert_eq!(rate(f64::NAN), "? B/h");
        assert_eq!(rate(-0.2), "-0.20 B/h");
        assert_eq!(rate(f64::INFINITY), "? B/h");
    }

    #[test]
    fn percent_never_rounds_up_to_all() {
        assert_eq!(percent(0.9999), "99.9 %");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(0.96), "96 %");
        assert_eq!(percent(0.000_1), "<0.1 %");
        assert_eq!(percent(f64::NAN), "? %");
    }

    #[test]
    fn durations_grow_units() {
        assert_eq!(duration(1.55), "1.6 s");
        assert_eq!(duration(60.0), "60 s");
        assert_eq!(duration(600.0), "10 min");
        assert_eq!(duration(36_000.0), "10.0 h");
    }
}
