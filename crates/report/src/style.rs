//! How text may look: colours or none.

/// What the reader's terminal can and the reader wants.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Colours (ANSI), bold and dim.
    pub colour: bool,
    /// Type names without their modules.
    pub short_names: bool,
}

impl Style {
    /// The culprit: bold.
    pub(crate) fn strong(&self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Bad news: bold red.
    pub(crate) fn bad(&self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// Good news: green.
    pub(crate) fn good(&self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Headings and doubts: dim.
    pub(crate) fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }

    /// A type name, safe, short where asked for.
    pub(crate) fn type_name(&self, name: &str) -> String {
        let name = if self.short_names { name.rsplit('.').next().unwrap_or(name) } else { name };
        crate::sanitize(name)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
