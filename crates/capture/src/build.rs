//! The chunks of one process to its tables: rows are appended straight to the columns.
//!
//! Checks what can be checked chunk by chunk; ids that may point forward are checked by `seal`. A gap left by lost
//! chunks is filled with rows that stand for what was lost, so that later ids keep their meaning.

use heapray_wire::{
    Chunk, ChunkHeader, MoreEdges, NO_NODE, NO_STRING, NodeChunk, NodeFlags, NodeRow, PackedNodes, ShapeRow,
    Tail, TypeKind, TypeRow,
};

use crate::tables::HeapTables;

/// Shape of nodes that stand for lost ones, until `seal` gives them one.
pub(crate) const LOST_SHAPE: u32 = u32::MAX;

/// Most nodes of a process: ids end before the marks for "none" and for what was lost.
const MAX_NODES: u64 = u32::MAX as u64 - 2;

/// Tables of one process that still grow.
#[derive(Debug)]
pub(crate) struct Builder {
    pub(crate) tables: HeapTables,
    /// Number of the process in the file.
    pub(crate) process: u16,
    /// Its end mark was seen.
    pub(crate) ended: bool,
    /// Part of the file was lost while it grew.
    pub(crate) damaged: bool,
    pub(crate) lost: Lost,
    last_address: u64,
}

/// What a process lost, in counts.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    pub(crate) nodes: u64,
    pub(crate) strings: u64,
    pub(crate) types: u64,
    pub(crate) shapes: u64,
    pub(crate) addresses: u64,
    pub(crate) late_flags: u64,
}

/// The rows before a chunk that were lost, held against how many bytes of the file were.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gap {
    /// Bytes of the file since the last chunk that was taken.
    pub(crate) n_bytes: u64,
}

impl Gap {
    /// Rows between `have` and `first`; an error for a chunk whose place cannot be right.
    fn rows(self, have: usize, first: u32, rows_per_byte: u64) -> Result<usize, &'static str> {
        let rows = u64::from(first).checked_sub(have as u64).ok_or("repeats ids that were given before")?;
        if rows > self.n_bytes.saturating_mul(rows_per_byte) {
            return Err("leaves out more ids than were lost");
        }
        Ok(rows as usize)
    }

    fn nodes(self, have: usize, first: u32) -> Result<usize, &'static str> {
        let frames = self.n_bytes / ChunkHeader::BYTES as u64;
        Self { n_bytes: frames }.rows(have, first, NodeChunk::CAPACITY as u64)
    }
}

/// Most rows of strings, types or shapes for which one lost byte may stand.
const ROWS_PER_BYTE: u64 = 64;

impl Builder {
    pub(crate) fn new(process: u16) -> Self {
        let tables = HeapTables { edge_start: vec![0], ..HeapTables::default() };
        Self { tables, process, ended: false, damaged: false, lost: Lost::default(), last_address: 0 }
    }

    /// Takes any chunk but nodes. Errors say why the chunk is left out.
    pub(crate) fn chunk(&mut self, chunk: Chunk, first: u32, gap: Gap) -> Result<(), &'static str> {
        let tables = &mut self.tables;
        match chunk {
            Chunk::Process(facts) | Chunk::Facts(facts) => tables.facts.extend(facts),
            Chunk::Strings(rows) => {
                let lost = gap.rows(tables.strings.len(), first, ROWS_PER_BYTE)?;
                self.lost.strings += lost as u64;
                tables.strings.extend(std::iter::repeat_n(Box::from("<lost>"), lost));
                tables.strings.extend(rows.into_iter().map(String::into_boxed_str));
            }
            Chunk::Types(rows) => {
                let lost = gap.rows(tables.types.len(), first, ROWS_PER_BYTE)?;
                self.lost.types += lost as u64;
                tables.types.extend(std::iter::repeat_n(lost_type(NO_STRING), lost));
                tables.types.extend(rows);
            }
            Chunk::Shapes(rows) => {
                let lost = gap.rows(tables.shapes.len(), first, ROWS_PER_BYTE)?;
                self.lost.shapes += lost as u64;
                tables.shapes.extend(std::iter::repeat_n(lost_shape(u32::MAX), lost));
                tables.shapes.extend(rows);
            }
            // Nodes come packed, to `nodes`.
            Chunk::Nodes(_) => {}
            Chunk::MoreEdges(more) => self.more_edges(&more)?,
            Chunk::Names(rows) => tables.names.extend(rows),
            Chunk::Flags(rows) => self.late_flags(&rows),
            Chunk::Skipped(rows) => tables.skipped.extend(rows),
            Chunk::End => self.ended = true,
        }
        Ok(())
    }

    /// Appends nodes and their edges. Errors say why the chunk is left out.
    pub(crate) fn nodes(&mut self, nodes: &PackedNodes, gap: Gap) -> Result<(), &'static str> {
        let lost = gap.nodes(self.tables.shape.len(), nodes.first)?;
        if u64::from(nodes.first) + nodes.row_of.len() as u64 > MAX_NODES {
            return Err("holds more nodes than ids reach");
        }
        self.room_for_edges(nodes.edges.len())?;
        if self.tables.shape.is_empty() && nodes.row_of.len() == NodeChunk::CAPACITY {
            reserve(&mut self.tables);
        }
        self.fill(lost, nodes);
        self.addresses(nodes);
        self.sizes(nodes);
        let tables = &mut self.tables;
        tables.shape.extend(nodes.nodes().map(|row| row.shape));
        tables.refcount.extend(nodes.nodes().map(|row| row.refcount));
        tables.flags.extend(nodes.nodes().map(|row| row.flags));
        let mut end = tables.edges.len() as u32;
        tables.edge_start.extend(nodes.nodes().map(|row| {
            end += row.n_edges;
            end
        }));
        tables.edges.extend_from_slice(&nodes.edges);
        Ok(())
    }

    fn room_for_edges(&self, n: usize) -> Result<(), &'static str> {
        let room = u32::MAX as usize - self.tables.edges.len();
        if n > room { Err("holds more edges than fit into the tables") } else { Ok(()) }
    }

    /// Appends `lost` nodes that stand for those before `next`: addresses rise by 8, real where `next` is.
    fn fill(&mut self, lost: usize, next: &PackedNodes) {
        if lost == 0 {
            return;
        }
        self.lost.nodes += lost as u64;
        let synthetic = next.nodes().next().is_some_and(|row| row.flags.has(NodeFlags::SYNTHETIC));
        let flags = NodeFlags(NodeFlags::TORN | if synthetic { NodeFlags::SYNTHETIC } else { 0 });
        let before = next.address.first().map_or(u64::MAX, |address| address.saturating_sub(8));
        for _ in 0..lost {
            let address = (self.last_address + 8).min(before.max(self.last_address));
            self.address(if synthetic { 0 } else { address }, flags);
        }
        let tables = &mut self.tables;
        let n = tables.shape.len() + lost;
        tables.shape.resize(n, LOST_SHAPE);
        tables.refcount.resize(n, 0);
        tables.shallow_bytes.resize(n, 0);
        tables.block_bytes.resize(n, 0);
        tables.flags.resize(n, flags);
        tables.edge_start.resize(n + 1, tables.edges.len() as u32);
    }

    fn addresses(&mut self, nodes: &PackedNodes) {
        self.tables.address_offset.reserve(nodes.address.len());
        for (address, row) in nodes.address.iter().zip(nodes.nodes()) {
            if !row.flags.has(NodeFlags::SYNTHETIC) && *address <= self.last_address {
                self.lost.addresses += 1;
                self.address(self.last_address, row.flags);
            } else {
                self.address(*address, row.flags);
            }
        }
    }

    /// Appends one address as an offset from its base.
    #[inline]
    fn address(&mut self, address: u64, flags: NodeFlags) {
        let tables = &mut self.tables;
        if flags.has(NodeFlags::SYNTHETIC) {
            tables.address_offset.push(0);
            return;
        }
        let base = tables.address_base.last().map_or(u64::MAX, |(_, base)| *base);
        let offset = match u32::try_from(address.wrapping_sub(base) >> 3) {
            Ok(offset) if address >= base => offset,
            _ => {
                tables.address_base.push((tables.address_offset.len() as u32, address));
                0
            }
        };
        tables.address_offset.push(offset);
        self.last_address = address;
    }

    fn sizes(&mut self, nodes: &PackedNodes) {
        let tables = &mut self.tables;
        tables.shallow_bytes.extend(nodes.nodes().map(|row| saturated(row.shallow_bytes)));
        tables.block_bytes.extend(nodes.nodes().map(|row| saturated(row.block_bytes)));
        let large = |row: &NodeRow| row.shallow_bytes.max(row.block_bytes) >= u64::from(u32::MAX);
        if nodes.rows.iter().any(large) {
            let rows = (nodes.first..).zip(nodes.nodes()).filter(|(_, row)| large(row));
            tables.large.extend(rows.map(|(node, row)| (node, row.shallow_bytes, row.block_bytes)));
        }
    }

    fn more_edges(&mut self, more: &MoreEdges) -> Result<(), &'static str> {
        if u64::from(more.node) + 1 != self.tables.shape.len() as u64 {
            return Err("belongs to a node that is lost");
        }
        self.room_for_edges(more.edges.len())?;
        let tables = &mut self.tables;
        tables.edges.extend_from_slice(&more.edges);
        tables.edge_start[more.node as usize + 1] = tables.edges.len() as u32;
        Ok(())
    }

    fn late_flags(&mut self, rows: &[(u32, NodeFlags)]) {
        for (node, bits) in rows {
            match self.tables.flags.get_mut(*node as usize) {
                // What is synthetic decides where addresses end, so it cannot come late.
                Some(flags) => flags.0 |= bits.0 & !NodeFlags::SYNTHETIC,
                None => self.lost.late_flags += 1,
            }
        }
    }
}

/// Reserves address space for the columns of a large heap, so that they grow by moving pages, not bytes: glibc maps
/// blocks over 32 MiB (`DEFAULT_MMAP_THRESHOLD_MAX`), and smaller ones that grow would leave their old places behind
/// (measured: 10 bytes a node resident). Pages that nothing touches cost nothing; `seal` gives the rest back.
/// Where address space is short, columns grow as they can.
fn reserve(tables: &mut HeapTables) {
    const N: usize = 9 << 20;
    let columns = [
        &mut tables.address_offset,
        &mut tables.shape,
        &mut tables.refcount,
        &mut tables.shallow_bytes,
        &mut tables.block_bytes,
        &mut tables.edge_start,
        &mut tables.edges,
    ];
    columns.into_iter().for_each(|column| drop(column.try_reserve_exact(N)));
    drop(tables.flags.try_reserve_exact(2 * N));
}

fn saturated(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// A type that stands for a lost one.
pub(crate) fn lost_type(name: u32) -> TypeRow {
    TypeRow {
        name,
        address: 0,
        node: NO_NODE,
        kind: TypeKind::Other,
        counted: false,
        basic_size: 0,
        item_size: 0,
    }
}

/// A shape that stands for a lost one.
pub(crate) fn lost_shape(type_idx: u32) -> ShapeRow {
    ShapeRow { type_idx, labels: Vec::new(), tail: Tail::Items }
}
