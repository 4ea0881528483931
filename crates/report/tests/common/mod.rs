//! Answers with plausible and with hostile content, for the golden files.

use heapray_query::answer::{Picture, PictureEdge, PictureNode, Role};

/// The story's picture: one leaked array, what holds it.
pub fn story_picture() -> Picture {
    let node = |role, type_name: &str, count, retained_bytes| PictureNode {
        role,
        type_name: type_name.into(),
        count,
        retained_bytes,
        block_bytes: 112 * count,
        object: "0x7f3a5c0e2d10".into(),
        ..PictureNode::default()
    };
    let nodes = vec![
        PictureNode { trail: "data_pipeline.buffer[99998]".into(), ..node(Role::Target, "numpy.ndarray", 99_812, 768_000_000) },
        PictureNode { length: Some(99_812), ..node(Role::Object, "list", 1, 768_800_000) },
        PictureNode { name: Some("data_pipeline".into()), ..node(Role::Module, "module", 1, 769_000_000) },
        PictureNode { name: Some("normalize_vectors (data_pipeline.py:14)".into()), ..node(Role::Frame, "frame", 1, 0) },
        PictureNode { length: Some(100), ..node(Role::Object, "list", 1, 1_200) },
        PictureNode { name: Some("static Handlers in libpython3.12.so".into()), ..node(Role::Native, "native static", 1, 0) },
        node(Role::Object, "function", 1, 9_000),
        PictureNode { name: Some("interpreter 0".into()), ..node(Role::Root, "interpreter", 1, 0) },
        node(Role::More, "", 12, 0),
        PictureNode { length: Some(3), ..node(Role::Object, "dict", 4_211, 1_000_000) },
    ];
    let edge = |from, to, label: &str, count| PictureEdge { from, to, label: label.into(), count, dominates: false, cut: false };
    let edges = vec![
        PictureEdge { dominates: true, ..edge(1, 0, "[*]", 99_812) },
        PictureEdge { dominates: true, cut: true, ..edge(2, 1, ".buffer", 1) },
        edge(3, 4, "batch", 1),
        edge(4, 0, "[*]", 100),
        edge(5, 6, "+0x18", 1),
        edge(6, 1, ".__defaults__[0]", 1),
        PictureEdge { dominates: true, ..edge(7, 2, "sys.modules", 1) },
        edge(8, 0, "", 12),
        edge(9, 0, "['array']", 4_211),
        edge(2, 6, ".flush", 1),
        edge(6, 6, ".__wrapped__", 1),
    ];
    Picture { title: "why numpy.ndarray ×99,812 is alive — process 4242".into(), nodes, edges }
}
