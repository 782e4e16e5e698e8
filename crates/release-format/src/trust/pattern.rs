/// Whether `path` matches the shell pattern `pattern`, in which `*` and `?` stay within one part
/// between slashes.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    let mut patterns = pattern.split('/');
    let mut parts = path.split('/');
    loop {
        match (patterns.next(), parts.next()) {
            (None, None) => return true,
            (Some(pattern), Some(part)) if matches_part(pattern, part) => {}
            _ => return false,
        }
    }
}

/// Linear but for one step back to the last star: a hostile pattern costs no more than the product
/// of the two lengths.
fn matches_part(pattern: &str, part: &str) -> bool {
    // Most parts of most patterns: a device compares those of every tenant.
    if !pattern.contains(['*', '?']) {
        return pattern == part;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let part: Vec<char> = part.chars().collect();
    let (mut at, mut position) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while position < part.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, position));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || Some(wanted) == part.get(position) => {
                at += 1;
                position += 1;
            }
            _ => match star {
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    position = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stay_between_slashes() {
        for (pattern, path, expected) in [
            ("acme/*/catalogue", "acme/biology/catalogue", true),
            ("acme/*/catalogue", "acme/a/b/catalogue", false),
            ("acme/*/catalogue", "other/biology/catalogue", false),
            ("acme/*/rollout/*", "acme/biology/rollout/stable", true),
            ("*", "a", true),
            ("*", "a/b", false),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("", "", true),
            ("a", "a/", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
