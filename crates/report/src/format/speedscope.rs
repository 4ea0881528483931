//! speedscope's JSON: one sampled profile whose samples are stacks and whose weights are bytes.

use super::collapsed::weights;
use crate::sanitize;
use heapray_query::answer::StackProfile;
use serde_json::{Value, json};
use std::collections::HashMap;

/// The file; its schema is www.speedscope.app/file-format-schema.json.
pub fn speedscope(profile: &StackProfile) -> String {
    let mut frames: Vec<Value> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    let weights = weights(profile);
    let mut samples: Vec<Vec<usize>> = Vec::with_capacity(weights.len());
    for stack in weights.keys() {
        let mut sample = Vec::new();
        for name in stack.split(';') {
            sample.push(*known.entry(name).or_insert_with(|| {
                frames.push(json!({ "name": name }));
                frames.len() - 1
            }));
        }
        samples.push(sample);
    }
    let total: u64 = weights.values().sum();
    let name = format!(
        "{} memory of {}",
        profile.what,
        sanitize(profile.recording.command.as_deref().unwrap_or("a recording"))
    );
    let file = json!({
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "shared": { "frames": frames },
        "profiles": [{
            "type": "sampled",
            "name": name,
            "unit": "bytes",
            "startValue": 0,
            "endValue": total,
            "samples": samples,
            "weights": weights.values().collect::<Vec<_>>(),
        }],
        "name": name,
        "activeProfileIndex": 0,
        "exporter": format!("heapray {}", env!("CARGO_PKG_VERSION")),
    });
    file.to_string() + "\n"
}
