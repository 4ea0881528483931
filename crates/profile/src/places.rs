//! Places: frames that a user takes for the same. Columns are dropped, and lines too where functions are asked for.

use heapray_capture::Recording;
use heapray_wire::{FrameKind, FrameRow};
use std::collections::HashMap;

/// What a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PlaceKind {
    /// A line (or a function) of Python.
    Python,
    /// Native code.
    Native,
    /// A thread.
    Thread,
    /// A tag that the program set.
    Tag,
    /// Frames are missing here.
    Cut,
    /// A native thread was started here.
    Start,
}

/// How finely places are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// By line.
    #[default]
    Line,
    /// By function.
    Function,
}

/// A place. Texts are ids of the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// What it is.
    pub kind: PlaceKind,
    /// Text id of the function; of a tag, a cut, a start or a thread its text.
    pub function: u32,
    /// Text id of the file.
    pub file: u32,
    /// The line, or where the function begins; of a thread its id. 0 unknown.
    pub line: u32,
}

/// All places of a recording.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The places, in the order in which frames name them first.
    pub rows: Vec<Place>,
    /// Place of each frame.
    of_frame: Vec<u32>,
    /// Whether each place belongs to the import system.
    is_import: Vec<bool>,
}

impl Places {
    /// Merges frames. O(frames).
    pub fn new(recording: &Recording, detail: Detail) -> Self {
        let mut places = Self::default();
        let mut known: HashMap<Place, u32> = HashMap::new();
        for frame in &recording.frames {
            let place = place(frame, detail);
            let next = places.rows.len() as u32;
            let id = *known.entry(place).or_insert(next);
            if id == next {
                places.rows.push(place);
                places.is_import.push(is_import_system(recording.text(place.file)));
            }
            places.of_frame.push(id);
        }
        places
    }

    /// The place of a node's frame.
    pub fn of_node(&self, recording: &Recording, node: u32) -> u32 {
        self.of_frame[recording.nodes[node as usize].frame as usize]
    }

    /// A place by its id.
    pub fn get(&self, id: u32) -> &Place {
        &self.rows[id as usize]
    }

    /// Whether the place is of the import system, which stands between `import x` and the module.
    pub fn is_import(&self, id: u32) -> bool {
        self.is_import[id as usize]
    }
}

fn place(frame: &FrameRow, detail: Detail) -> Place {
    let kind = match frame.kind {
        FrameKind::Python => PlaceKind::Python,
        FrameKind::Native => PlaceKind::Native,
        FrameKind::Thread => PlaceKind::Thread,
        FrameKind::Tag => PlaceKind::Tag,
        FrameKind::Cut => PlaceKind::Cut,
        FrameKind::Start => PlaceKind::Start,
    };
    let line = match (kind, detail) {
        (PlaceKind::Python, Detail::Function) => frame.first_line,
        (PlaceKind::Native, Detail::Function) => 0,
        _ => frame.line,
    };
    Place { kind, function: frame.function, file: frame.file, line }
}

fn is_import_system(file: &str) -> bool {
    file.starts_with("<frozen importlib") || file.ends_with("/importlib/__init__.py")
}
