use crate::delta::{Delta, Frame, Plan};
use crate::method::Method;
use crate::{ContentPath, Listing};

/// Where the bytes of a delta went.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeltaStats {
    /// Bytes of the whole delta.
    pub delta_bytes: u64,
    /// Bytes of its frames; the files' shares add up to them.
    pub frame_bytes: u64,
    /// Bytes of the rest: header, plan and trailer.
    pub plan_bytes: u64,
    /// The built files, in the order of the new listing.
    pub files: Vec<BuiltFile>,
}

/// What one built file costs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuiltFile {
    /// The file.
    pub path: ContentPath,
    /// Bytes that are written for it.
    pub length: u64,
    /// Its share of the delta's frames in bytes: of a frame that makes several files, in proportion
    /// to their lengths.
    pub encoded_bytes: u64,
    /// The methods of its frames, each once, in their order.
    pub methods: Vec<Method>,
    /// The old file that it is coded against, as far as one can be told from the others.
    pub counterpart: Option<ContentPath>,
    /// How many files share its frames, itself included.
    pub group_files: usize,
}

impl DeltaStats {
    /// Returns where the bytes of `delta` went, whose plan over `old` is `plan`.
    pub fn of(delta: &Delta<'_>, plan: &Plan, old: &Listing) -> DeltaStats {
        let mut numbered = Vec::new();
        let mut frame_bytes = 0;
        for group in plan.groups() {
            let mut at = 0;
            for member in &group.members {
                let Some(file) = plan.files().get(*member) else {
                    continue;
                };
                let mut built = BuiltFile {
                    path: file.path.clone(),
                    length: file.length,
                    encoded_bytes: 0,
                    methods: Vec::new(),
                    counterpart: None,
                    group_files: group.members.len(),
                };
                let mut start = 0;
                for frame in &group.frames {
                    built.add(frame, start, at, old);
                    start += frame.decoded_length;
                }
                at += file.length;
                numbered.push((*member, built));
            }
            let encoded = group.frames.iter().map(|frame| frame.encoded.len() as u64);
            frame_bytes += encoded.sum::<u64>();
        }
        numbered.sort_by_key(|(index, _)| *index);
        DeltaStats {
            delta_bytes: delta.length(),
            frame_bytes,
            plan_bytes: delta.length().saturating_sub(frame_bytes),
            files: numbered.into_iter().map(|(_, built)| built).collect(),
        }
    }
}

impl BuiltFile {
    /// Adds the share of `frame`, which starts at `start` of the group, in the file, which starts at
    /// `at` of it.
    fn add(&mut self, frame: &Frame, start: u64, at: u64, old: &Listing) {
        let end = start + frame.decoded_length;
        let (first, last) = (at.max(start), (at + self.length).min(end));
        if first >= last {
            return;
        }
        self.encoded_bytes += share(frame, last - start) - share(frame, first - start);
        if !self.methods.contains(&frame.method) {
            self.methods.push(frame.method);
        }
        if self.counterpart.is_none() {
            self.counterpart = self.reference(frame, old).cloned();
        }
    }

    fn reference<'o>(&self, frame: &Frame, old: &'o Listing) -> Option<&'o ContentPath> {
        let spans = frame.references.iter();
        let paths = spans.filter_map(|span| old.entries().get(span.index).map(|entry| &entry.path));
        let paths: Vec<&ContentPath> = paths.collect();
        let same_path = paths.iter().find(|path| **path == &self.path);
        let same_name = paths
            .iter()
            .find(|path| path.file_name() == self.path.file_name());
        let only = match paths.as_slice() {
            [only] => Some(only),
            _ => None,
        };
        same_path.or(same_name).or(only).copied()
    }
}

/// Returns how many encoded bytes the first `decoded` bytes of the frame take, in proportion.
fn share(frame: &Frame, decoded: u64) -> u64 {
    let encoded = frame.encoded.len() as u128 * u128::from(decoded);
    let share = encoded.checked_div(frame.decoded_length.into());
    share
        .and_then(|share| u64::try_from(share).ok())
        .unwrap_or(0)
}
