//! Values with a unit as typed: `30s`, `5m`, `1.5h`; `10MB`, `2GB/h`.

use std::time::Duration;

/// Longest duration taken, to keep sums far from overflow: 30 days.
const SECONDS_MAX: f64 = 30.0 * 86_400.0;

/// Parses a duration; a bare number is seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        _ => return Err(format!("unknown unit `{unit}`; write 500ms, 30s, 5m or 1h")),
    };
    let seconds = number * factor;
    if !(0.0..=SECONDS_MAX).contains(&seconds) {
        return Err("a duration is between 0 and 30 days".into());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Parses bytes, or bytes per hour (`/h` is allowed and means nothing more); decimal units, and binary ones (`64KiB`).
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text.strip_suffix("/h").unwrap_or(text))?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return Err(format!("unknown unit `{unit}`; write 500kB, 10MB, 1GB or 64KiB")),
    };
    let bytes = number * factor;
    if !(0.0..=1e18).contains(&bytes) {
        return Err("a size is between 0 and 1e18 bytes".into());
    }
    Ok(bytes as u64)
}

/// Splits `1.5h` into its number and its unit.
fn split(text: &str) -> Result<(f64, &str), String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text[..end].parse().map_err(|_| format!("`{text}` does not start with a number"))?;
    Ok((number, text[end..].trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("30"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_duration(" 2 m "), Ok(Duration::from_secs(120)));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "s", "-3s", "3 days", "1e9h", "9999999999h", "1.2.3s", "NaN", "٣s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_decimal() {
        assert_eq!(parse_bytes("10MB/h"), Ok(10_000_000));
        assert_eq!(parse_bytes("2gb"), Ok(2_000_000_000));
        assert_eq!(parse_bytes("123"), Ok(123));
        assert_eq!(parse_bytes("64KiB"), Ok(65_536));
        assert!(parse_bytes("12 parsecs").is_err());
    }
}
