//! Lines drawn with block characters.

const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A character per value, from 0 to the largest; a gap where there is no value.
pub(crate) fn spark(values: impl IntoIterator<Item = Option<f64>>) -> String {
    let values: Vec<Option<f64>> = values.into_iter().collect();
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let level = |value: f64| {
        let part = if most > 0.0 { (value / most).clamp(0.0, 1.0) } else { 0.0 };
        LEVELS[(part * (LEVELS.len() - 1) as f64).round() as usize]
    };
    values.into_iter().map(|value| value.map_or(' ', level)).collect()
}

/// The line of a trend; nothing where nothing ever was.
pub(crate) fn trend(bytes: &[i64]) -> String {
    if bytes.iter().all(|value| *value <= 0) {
        return String::new();
    }
    spark(bytes.iter().map(|value| Some(*value as f64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_from_nothing_to_the_largest() {
        assert_eq!(spark([Some(0.0), None, Some(5.0), Some(10.0)]), "▁ ▅█");
        assert_eq!(trend(&[0, 0]), "");
        assert_eq!(trend(&[7, 7]), "██");
    }
}
