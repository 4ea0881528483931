//! Text of `chain`.

use super::footer::footer;
use super::trail::{object, objects};
use crate::{Style, sanitize};
use heapray_query::answer::ChainAnswer;

/// The chain, or a clear statement that no module leads to the object.
pub fn chain(answer: &ChainAnswer, style: &Style) -> String {
    let expression = style.strong(&sanitize(&answer.trail.expression));
    let mut text = if answer.from_module {
        format!("{expression}\n")
    } else {
        format!("no module leads to it; held by {expression} ({})\n", sanitize(&answer.trail.root))
    };
    text.push_str(&format!("is {}\n\n", object(&answer.object, style)));
    text.push_str(&style.dim(" retained  object\n"));
    text.push_str(&objects(&answer.trail, "", style));
    text.push('\n');
    text + &footer(&answer.process, &answer.coverage, style)
}
