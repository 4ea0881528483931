//! What a process has said about its stacks: nodes, code objects, texts and loaded objects, under the agent's ids.
//!
//! Nothing is looked up here before a row of the file needs it. A forked child starts with its parent's.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use heapray_wire::ring::cells::{NodeKind, Record};

use super::chunks::Chunks;

/// Ids from here on are not believed: the agent's tree ends at a million nodes.
const MAX_NODES: usize = 4 << 20;

/// A node of the agent's tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawNode {
    pub(crate) parent: u32,
    pub(crate) kind: NodeKind,
    pub(crate) a: u64,
    pub(crate) b: u64,
}

/// A code object as it was when it was first seen.
#[derive(Debug)]
pub(crate) struct Code {
    /// Number of this code object in the recording, of all processes.
    pub(crate) serial: u64,
    pub(crate) first_line: u32,
    pub(crate) line_table_kind: u32,
    pub(crate) filename: Box<str>,
    pub(crate) qualname: Box<str>,
    pub(crate) line_table: Box<[u8]>,
}

/// A library or program that a process has loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedObject {
    /// Number of this loading in the recording, of all processes.
    pub serial: u64,
    /// To be added to addresses as linked.
    pub load_base: u64,
    /// First address of its code.
    pub start: u64,
    /// First address behind its code.
    pub end: u64,
    /// Path as the process's loader knows it; that of the program as the kernel does, empty where it is gone already.
    pub path: Box<str>,
}

/// All that a process has said about its stacks.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// Path of the program itself, for which the loader has no name.
    program: Arc<str>,
    nodes: Chunks<Option<RawNode>>,
    codes: Arc<HashMap<u64, Arc<Code>>>,
    texts: Arc<HashMap<u64, Arc<str>>>,
    objects: Arc<Objects>,
}

impl Tables {
    /// Those of a process that runs the program of this path.
    pub(crate) fn new(program: &str) -> Self {
        Self { program: program.into(), ..Self::default() }
    }

    pub(crate) fn node(&self, id: u32) -> Option<&RawNode> {
        self.nodes.get(id as usize)?.as_ref()
    }

    pub(crate) fn code(&self, id: u64) -> Option<&Arc<Code>> {
        self.codes.get(&id)
    }

    pub(crate) fn text(&self, id: u64) -> Option<&str> {
        self.texts.get(&id).map(|text| &**text)
    }

    /// The object whose code holds `ip`: the last one that was loaded there.
    pub(crate) fn object(&self, ip: u64) -> Option<&Arc<LoadedObject>> {
        self.objects.find(ip)
    }

    /// Those of a forked child; which side says more first copies what it adds to.
    pub(crate) fn fork(&mut self) -> Self {
        Self {
            program: Arc::clone(&self.program),
            nodes: self.nodes.fork(),
            codes: Arc::clone(&self.codes),
            texts: Arc::clone(&self.texts),
            objects: Arc::clone(&self.objects),
        }
    }

    /// Number of nodes.
    pub(crate) fn n_nodes(&self) -> usize {
        self.nodes.iter().flatten().count()
    }

    /// Takes a record that describes; `false` where it cannot be right. `serial` numbers code objects and loadings.
    pub(crate) fn take(&mut self, record: Record, serial: u64) -> bool {
        match record {
            Record::Node { id, parent, kind, a, b } => {
                return self.take_node(id, RawNode { parent, kind, a, b });
            }
            Record::Code { id, first_line, line_table_kind, filename, name, qualname, linetable } => {
                let qualname = if qualname.is_empty() { name } else { qualname };
                let code = Code {
                    serial,
                    first_line,
                    line_table_kind,
                    filename: text(&filename),
                    qualname: text(&qualname),
                    line_table: linetable.into(),
                };
                Arc::make_mut(&mut self.codes).insert(id, Arc::new(code));
            }
            Record::Text { id, text: bytes } => {
                Arc::make_mut(&mut self.texts).insert(id, text(&bytes).into());
            }
            Record::Object { load_base, start, end, path } => {
                let path = if path.is_empty() { (*self.program).into() } else { text(&path) };
                Arc::make_mut(&mut self.objects).insert(LoadedObject { serial, load_base, start, end, path });
            }
            _ => return false,
        }
        true
    }

    fn take_node(&mut self, id: u32, node: RawNode) -> bool {
        let id = id as usize;
        if id == 0 || id >= MAX_NODES {
            return false;
        }
        self.nodes.put(id, Some(node), &None);
        true
    }
}

/// Loaded objects by the addresses where they were the last to be loaded: first address, and one past the last.
#[derive(Clone, Debug, Default)]
struct Objects(BTreeMap<u64, (u64, Arc<LoadedObject>)>);

impl Objects {
    fn find(&self, ip: u64) -> Option<&Arc<LoadedObject>> {
        let (_, (end, object)) = self.0.range(..=ip).next_back()?;
        (ip < *end).then_some(object)
    }

    /// Objects that were there before keep what lies on either side.
    fn insert(&mut self, object: LoadedObject) {
        let LoadedObject { start, end, .. } = object;
        if start >= end {
            return;
        }
        while let Some((&first, (last, _))) = self.0.range(..end).next_back().filter(|(_, old)| old.0 > start)
        {
            let last = *last;
            let Some((_, old)) = self.0.remove(&first) else { break };
            if end < last {
                self.0.insert(end, (last, Arc::clone(&old)));
            }
            if first < start {
                self.0.insert(first, (start, old));
            }
        }
        self.0.insert(start, (end, Arc::new(object)));
    }
}

fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_address_is_of_the_last_object_loaded_there(
            loadings in prop::collection::vec((0u64..60, 0u64..30), 0..12)
        ) {
            let mut objects = Objects::default();
            let mut all = Vec::new();
            for (serial, (start, len)) in (0..).zip(loadings) {
                let end = start + len;
                let object = LoadedObject { serial, load_base: 0, start, end, path: "".into() };
                all.push(object.clone());
                objects.insert(object);
                for ip in 0..100 {
                    let last = all.iter().rev().find(|object| object.start <= ip && ip < object.end);
                    prop_assert_eq!(objects.find(ip).map(|object| &**object), last);
                }
            }
        }
    }
}
