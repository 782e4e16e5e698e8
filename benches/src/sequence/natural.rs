/// A stretch of a name.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Number(u64),
    Text(String),
}

/// Returns what names are sorted by so that `1.10` comes behind `1.9`.
pub(super) fn key(name: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let same = |other: char| other.is_ascii_digit() == first.is_ascii_digit();
        let end = rest.find(|other| !same(other)).unwrap_or(rest.len());
        let (part, behind) = rest.split_at(end);
        let number = first.is_ascii_digit().then(|| part.parse().ok()).flatten();
        parts.push(number.map_or_else(|| Part::Text(part.to_owned()), Part::Number));
        rest = behind;
    }
    parts
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_compared_as_numbers() {
        let mut names = ["2.7.10", "2.7.9", "2.10.0", "2.7.9-rc"];
        names.sort_by_cached_key(|name| super::key(name));
        assert_eq!(names, ["2.7.9", "2.7.9-rc", "2.7.10", "2.10.0"]);
    }
}
