//! pprof's `profile.proto`, gzipped, as `go tool pprof`, Pyroscope and Parca read it: four values a sample, already
//! unbiased, the sampling interval as the period.
//!
//! Source: github.com/google/pprof/blob/main/proto/profile.proto. Only fields that are written stand here.

use super::remarks;
use crate::place::{NO_FRAMES, label};
use crate::sanitize;
use flate2::Compression;
use flate2::write::GzEncoder;
use heapray_query::answer::{Estimate, ProfileSite, ProfileStack, StackProfile};
use prost::Message;
use std::collections::HashMap;
use std::io::Write;

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    mapping: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
    #[prost(int64, repeated, tag = "13")]
    comment: Vec<i64>,
    #[prost(int64, tag = "14")]
    default_sample_type: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "2")]
    str: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Mapping {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "5")]
    filename: i64,
    #[prost(bool, tag = "7")]
    has_functions: bool,
    #[prost(bool, tag = "8")]
    has_filenames: bool,
    #[prost(bool, tag = "9")]
    has_line_numbers: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    mapping_id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

/// Without the name that the linker knows (`system_name`): where that is given, pprof demangles it, and of `<module>`
/// nothing is left.
#[derive(Clone, Copy, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

/// Texts, each once; the first is empty, as the format wants it.
struct Strings {
    rows: Vec<String>,
    known: HashMap<String, i64>,
}

impl Strings {
    fn new() -> Self {
        let mut strings = Self { rows: Vec::new(), known: HashMap::new() };
        strings.id("");
        strings
    }

    fn id(&mut self, text: &str) -> i64 {
        if let Some(id) = self.known.get(text) {
            return *id;
        }
        let id = self.rows.len() as i64;
        self.rows.push(text.to_owned());
        self.known.insert(text.to_owned(), id);
        id
    }
}

/// The gzipped message. `inuse` is what was asked for: live, peak or growth; `alloc` what was allocated, or the
/// temporaries among it.
pub fn pprof(profile: &StackProfile) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    let written = gzip.write_all(&message(profile).encode_to_vec());
    written.and_then(|()| gzip.finish()).expect("memory takes all bytes")
}

fn message(profile: &StackProfile) -> Profile {
    let mut strings = Strings::new();
    let mut value_type =
        |kind: &str, unit: &str| ValueType { kind: strings.id(kind), unit: strings.id(unit) };
    let sample_type = vec![
        value_type("alloc_objects", "count"),
        value_type("alloc_space", "bytes"),
        value_type("inuse_objects", "count"),
        value_type("inuse_space", "bytes"),
    ];
    let period_type = value_type("space", "bytes");
    let is_alloc = is_alloc(profile);
    let locations = locations(profile, &mut strings);
    let mapping = Mapping {
        id: 1,
        filename: strings.id(&sanitize(profile.recording.command.as_deref().unwrap_or("python"))),
        has_functions: true,
        has_filenames: true,
        has_line_numbers: true,
    };
    let window = &profile.recording.window;
    Profile {
        sample_type,
        sample: samples(profile, &locations, &mut strings),
        mapping: vec![mapping],
        location: locations.locations,
        function: locations.functions,
        time_nanos: profile.recording.started_at.map_or(0, |seconds| (seconds * 1e9) as i64),
        duration_nanos: ((window.to_seconds - window.from_seconds) * 1e9) as i64,
        period_type: Some(period_type),
        period: profile.recording.sample_interval_bytes.map_or(1, |bytes| bytes as i64),
        comment: remarks(profile).iter().map(|line| strings.id(line)).collect(),
        default_sample_type: strings.id(if is_alloc { "alloc_space" } else { "inuse_space" }),
        string_table: strings.rows,
    }
}

fn is_alloc(profile: &StackProfile) -> bool {
    matches!(profile.what.as_str(), "allocated" | "temporary")
}

/// Where samples lie.
struct Locations {
    /// One for each place that a stack holds; the last is that of no frames.
    locations: Vec<Location>,
    functions: Vec<Function>,
    /// The location of each place, 0 for none.
    of_place: Vec<u64>,
}

impl Locations {
    /// Those of a stack, the innermost first.
    fn of(&self, stack: &[u32]) -> Vec<u64> {
        if stack.is_empty() {
            return vec![self.locations.len() as u64];
        }
        stack.iter().rev().map(|place| self.of_place[*place as usize]).collect()
    }
}

/// A location and a function for each place that a stack holds, and for no frames.
fn locations(profile: &StackProfile, strings: &mut Strings) -> Locations {
    let mut of_place = vec![0; profile.places.len()];
    let mut locations: Vec<Location> = Vec::new();
    let mut functions: Vec<Function> = Vec::new();
    let mut known: HashMap<(i64, i64), u64> = HashMap::new();
    for &at in profile.sites.iter().flat_map(|site| &profile.stacks[site.stack as usize].places) {
        if of_place[at as usize] > 0 {
            continue;
        }
        let place = &profile.places[at as usize];
        // What is no code has no file: its whole name stands for it.
        let is_code = matches!(place.kind.as_str(), "python" | "native");
        let name = match &place.function {
            Some(function) if is_code => sanitize(function),
            _ => label(place),
        };
        let name = strings.id(&name);
        let filename = strings.id(&sanitize(place.file.as_deref().unwrap_or_default()));
        let function = *known.entry((name, filename)).or_insert_with(|| {
            let id = functions.len() as u64 + 1;
            functions.push(Function { id, name, filename });
            id
        });
        let line = if is_code { place.line.map_or(0, i64::from) } else { 0 };
        let id = locations.len() as u64 + 1;
        locations.push(Location { id, mapping_id: 1, line: vec![Line { function_id: function, line }] });
        of_place[at as usize] = id;
    }
    let frameless = no_frames(locations.len(), functions.len(), strings);
    locations.push(frameless.0);
    functions.push(frameless.1);
    Locations { locations, functions, of_place }
}

/// What samples without a stack lie at: a sample of no location is in no report of pprof's.
fn no_frames(n_locations: usize, n_functions: usize, strings: &mut Strings) -> (Location, Function) {
    let function = Function { id: n_functions as u64 + 1, name: strings.id(NO_FRAMES), filename: 0 };
    let line = Line { function_id: function.id, line: 0 };
    (Location { id: n_locations as u64 + 1, mapping_id: 1, line: vec![line] }, function)
}

/// One per site. Growth of a stack that shrank in some thread or allocator is no site's: it is a sample without labels.
fn samples(profile: &StackProfile, locations: &Locations, strings: &mut Strings) -> Vec<Sample> {
    let (allocator, thread) = (strings.id("allocator"), strings.id("thread"));
    let mut samples = Vec::new();
    for site in &profile.sites {
        let stack = &profile.stacks[site.stack as usize];
        let value = values(profile, site, stack);
        if value.iter().all(|value| *value == 0) {
            continue;
        }
        let mut labels = vec![Label { key: allocator, str: strings.id(&sanitize(&site.allocator)) }];
        if !site.thread.is_empty() {
            labels.push(Label { key: thread, str: strings.id(&sanitize(&site.thread)) });
        }
        samples.push(Sample { location_id: locations.of(&stack.places), value, label: labels });
    }
    let is_net = |stack: &&ProfileStack| {
        stack.has_shrunk_sites && (stack.weight.bytes != 0 || stack.weight.count != 0)
    };
    samples.extend(profile.stacks.iter().filter(is_net).map(|stack| Sample {
        location_id: locations.of(&stack.places),
        value: both(&Estimate::default(), &stack.weight),
        label: Vec::new(),
    }));
    samples
}

fn both(alloc: &Estimate, inuse: &Estimate) -> Vec<i64> {
    vec![alloc.count, alloc.bytes, inuse.count, inuse.bytes]
}

fn values(profile: &StackProfile, site: &ProfileSite, stack: &ProfileStack) -> Vec<i64> {
    match profile.what.as_str() {
        "allocated" => both(&site.allocated, &site.live),
        "temporary" => both(&site.weight, &Estimate::default()),
        _ if stack.has_shrunk_sites => both(&site.allocated, &Estimate::default()),
        _ => both(&site.allocated, &site.weight),
    }
}
