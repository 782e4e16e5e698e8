use super::reader::Trees;
use super::{DISTANCE_SYMBOLS, LITERAL_SYMBOLS, META_ORDER, META_SYMBOLS};

/// Returns the code lengths, of `max_bits` at most, that zlib gives symbols of these counts: a symbol
/// that does not occur gets 0, but two symbols get a code in any case.
pub(crate) fn code_lengths(counts: &[u32], max_bits: usize) -> Vec<u8> {
    let symbols = counts.len();
    let mut heap = Heap {
        counts: counts.to_vec(),
        depths: vec![0; symbols],
        nodes: Vec::with_capacity(symbols + 1),
    };
    heap.nodes.push(0);
    let used = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    heap.nodes.extend(used.map(|(symbol, _)| symbol));
    let mut last = if heap.nodes.len() > 1 {
        heap.nodes.last().copied()
    } else {
        None
    };
    while heap.nodes.len() < 3 {
        let forced = match last {
            None => 0,
            Some(last) if last < 2 => last + 1,
            Some(_) => 0,
        };
        if last.is_none_or(|last| last < 2) {
            last = Some(forced);
        }
        heap.nodes.push(forced);
        heap.counts[forced] = 1;
    }
    for at in (1..=(heap.nodes.len() - 1) / 2).rev() {
        heap.sift(at);
    }
    // The nodes as they leave the heap; the root is the last.
    let mut leaving = Vec::with_capacity(2 * symbols);
    let mut parents = vec![0; 2 * symbols + 2];
    while heap.nodes.len() > 2 {
        let node = heap.counts.len();
        let rarest = heap.nodes.swap_remove(1);
        heap.sift(1);
        let second = heap.nodes[1];
        leaving.extend([rarest, second]);
        (parents[rarest], parents[second]) = (node, node);
        heap.counts.push(heap.counts[rarest] + heap.counts[second]);
        heap.depths.push(
            heap.depths[rarest]
                .max(heap.depths[second])
                .saturating_add(1),
        );
        heap.nodes[1] = node;
        heap.sift(1);
    }
    lengths_from(&leaving, &parents, symbols, max_bits)
}

/// Returns the lengths of the leaves below `symbols`, none above `max_bits`.
fn lengths_from(leaving: &[usize], parents: &[usize], symbols: usize, max_bits: usize) -> Vec<u8> {
    let mut depths = vec![0_usize; parents.len()];
    let mut of_length = vec![0_usize; max_bits + 1];
    let mut overflow = 0_usize;
    for node in leaving.iter().rev() {
        let mut depth = depths[parents[*node]] + 1;
        if depth > max_bits {
            depth = max_bits;
            overflow += 1;
        }
        depths[*node] = depth;
        if *node < symbols {
            of_length[depth] += 1;
        }
    }
    if overflow > 0 {
        while overflow > 0 {
            let shorter = (1..max_bits).rev().find(|length| of_length[*length] > 0);
            let Some(shorter) = shorter else { break };
            of_length[shorter] -= 1;
            of_length[shorter + 1] += 2;
            of_length[max_bits] -= 1;
            overflow = overflow.saturating_sub(2);
        }
        let mut leaves = leaving.iter().filter(|node| **node < symbols);
        for (length, count) in of_length.iter().enumerate().skip(1).rev() {
            for leaf in leaves.by_ref().take(*count) {
                depths[*leaf] = length;
            }
        }
    }
    let lengths = depths.iter().take(symbols);
    lengths
        .map(|length| u8::try_from(*length).unwrap_or(0))
        .collect()
}

struct Heap {
    counts: Vec<u32>,
    depths: Vec<u8>,
    /// From index 1 on.
    nodes: Vec<usize>,
}

impl Heap {
    fn sift(&mut self, mut at: usize) {
        let last = self.nodes.len() - 1;
        if at > last {
            return;
        }
        let node = self.nodes[at];
        let mut child = 2 * at;
        while child <= last {
            if child < last && self.is_first(self.nodes[child + 1], self.nodes[child]) {
                child += 1;
            }
            if self.is_first(node, self.nodes[child]) {
                break;
            }
            self.nodes[at] = self.nodes[child];
            at = child;
            child *= 2;
        }
        self.nodes[at] = node;
    }

    fn is_first(&self, a: usize, b: usize) -> bool {
        (self.counts[a], self.depths[a]) <= (self.counts[b], self.depths[b])
    }
}

/// Returns the code lengths, of `max_bits` at most, that 7-Zip gives symbols of these counts.
pub(crate) fn code_lengths_sorted(counts: &[u32], max_bits: usize) -> Vec<u8> {
    let mut lengths = vec![0; counts.len()];
    let used = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    let mut leaves: Vec<(u32, usize)> = used.map(|(symbol, count)| (*count, symbol)).collect();
    leaves.sort_unstable();
    if leaves.len() < 2 {
        let only = leaves.first().map_or(0, |leaf| leaf.1);
        for symbol in [0, only.max(1)] {
            lengths[symbol] = 1;
        }
        return lengths;
    }
    // Both queues rise, so the two rarest nodes are at their fronts; of equals the leaf is taken.
    let mut merged: Vec<u32> = Vec::with_capacity(leaves.len());
    let mut parents = vec![0; leaves.len()];
    let (mut leaf, mut node) = (0, 0);
    while merged.len() + 1 < leaves.len() {
        let mut sum = 0;
        for _ in 0..2 {
            let is_leaf = leaf < leaves.len()
                && merged
                    .get(node)
                    .is_none_or(|count| leaves[leaf].0 <= *count);
            if is_leaf {
                sum += leaves[leaf].0;
                leaf += 1;
            } else {
                sum += merged[node];
                parents[node] = merged.len();
                node += 1;
            }
        }
        merged.push(sum);
    }
    // Every inner node turns one code into two that are longer.
    let mut of_length = vec![0_usize; max_bits + 1];
    let mut depths = vec![0; merged.len()];
    of_length[0] = 1;
    for node in (0..merged.len()).rev() {
        depths[node] = if node + 1 == merged.len() {
            0
        } else {
            depths[parents[node]] + 1
        };
        let fitting = depths[node].min(max_bits - 1);
        let split = (0..=fitting).rev().find(|length| of_length[*length] > 0);
        let Some(split) = split else { continue };
        of_length[split] -= 1;
        of_length[split + 1] += 2;
    }
    let mut sorted = leaves.iter();
    for (length, count) in of_length.iter().enumerate().rev() {
        for (_, symbol) in sorted.by_ref().take(*count) {
            lengths[*symbol] = u8::try_from(length).unwrap_or(0);
        }
    }
    lengths
}

/// Returns the codes that zlib gives a block's symbols, and its way of writing their lengths.
pub(crate) fn trees(
    literals: &[u32; LITERAL_SYMBOLS],
    distances: &[u32; DISTANCE_SYMBOLS],
) -> Trees {
    let trimmed = |mut lengths: Vec<u8>| {
        while lengths.last() == Some(&0) {
            lengths.pop();
        }
        lengths
    };
    let literals = trimmed(code_lengths(literals, 15));
    let distances = trimmed(code_lengths(distances, 15));
    let mut spelling = spell(&literals);
    spelling.extend(spell(&distances));
    let meta = meta_lengths(&spelling);
    Trees {
        literals,
        distances,
        meta,
        spelling,
    }
}

/// Returns the lengths, as a block's head has them, of the code that `spelling` is written with.
pub(crate) fn meta_lengths(spelling: &[(u8, u8)]) -> Vec<u8> {
    let mut counts = [0_u32; META_SYMBOLS];
    for (symbol, _) in spelling {
        if let Some(count) = counts.get_mut(usize::from(*symbol)) {
            *count += 1;
        }
    }
    let lengths = code_lengths(&counts, 7);
    let mut meta: Vec<u8> = META_ORDER.iter().map(|symbol| lengths[*symbol]).collect();
    while meta.len() > 4 && meta.last() == Some(&0) {
        meta.pop();
    }
    meta
}

/// Returns how zlib writes code lengths: what repeats as repeats, as long as they go.
pub(crate) fn spell(lengths: &[u8]) -> Vec<(u8, u8)> {
    let mut spelling = Vec::with_capacity(lengths.len());
    let mut rest = lengths;
    while let [length, ..] = rest {
        let run = rest.iter().take_while(|other| *other == length).count();
        let mut left = run;
        if *length > 0 {
            spelling.push((*length, 0));
            left -= 1;
        }
        while left > 0 {
            let (symbol, least, most) = match (*length, left) {
                (0, ..=2) | (1.., ..=2) => (*length, 1, 1),
                (0, ..=10) => (17, 3, 10),
                (0, _) => (18, 11, 138),
                _ => (16, 3, 6),
            };
            let taken = left.min(most);
            let [extra, ..] = (taken - least).to_le_bytes();
            spelling.push((symbol, extra));
            left -= taken;
        }
        rest = rest.get(run..).unwrap_or(&[]);
    }
    spelling
}

/// Returns how many bits tokens of these counts take, the symbols of `literals` and `distances` as long
/// as told.
pub(crate) fn cost(counts: &[u32], lengths: &[u8], extra: impl Fn(usize) -> u8) -> u64 {
    let each = counts.iter().zip(lengths).enumerate();
    each.map(|(symbol, (count, length))| {
        u64::from(*count) * (u64::from(*length) + u64::from(extra(symbol)))
    })
    .sum()
}
