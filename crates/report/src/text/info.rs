//! Text of `info`.

use super::footer::{n_of, process, seen};
use crate::{Style, bytes, sanitize};
use heapray_query::answer::{InfoAnswer, ProcessInfo};

/// Each process with its facts.
pub fn info(answer: &InfoAnswer, style: &Style) -> String {
    let mut text = match answer.processes.len() {
        1 => String::new(),
        n => {
            format!("{}\n\n", if n == 0 { "no process in this snapshot".to_owned() } else { n_processes(n) })
        }
    };
    for one in &answer.processes {
        text.push_str(&about(one, style));
        text.push('\n');
    }
    for lost in &answer.lost {
        text.push_str(&format!("lost: {}\n", sanitize(lost)));
    }
    text
}

fn n_processes(n: usize) -> String {
    format!("{n} processes in this snapshot")
}

fn about(one: &ProcessInfo, style: &Style) -> String {
    let mut text = format!("{}\n", style.strong(&process(&one.process)));
    text.push_str(&format!(
        "{}, {}, {} in blocks\n",
        seen(&one.coverage),
        n_of(one.n_types, "type"),
        bytes(one.block_bytes)
    ));
    if let Some(pause_ms) = one.process.pause_ms {
        text.push_str(&format!("stopped for {pause_ms:.1} ms\n"));
    }
    let width = one.facts.iter().map(|fact| fact.name.chars().count()).max().unwrap_or(0);
    for fact in &one.facts {
        let value = match &fact.value {
            serde_json::Value::String(text) => sanitize(text),
            other => other.to_string(),
        };
        text.push_str(&format!("  {:<width$}  {value}\n", sanitize(&fact.name)));
    }
    text
}
