//! What a Rust source file names: its modules, its imports, the paths that it writes out.

use std::collections::BTreeSet;

/// One file, reduced to what decides who imports whom. What only tests see is left out.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// Modules that the file declares.
    pub(crate) modules: BTreeSet<String>,
    /// Modules that it declares for tests alone.
    pub(crate) test_modules: BTreeSet<String>,
    /// Names that it imports.
    pub(crate) imports: Vec<Import>,
    /// Paths of two or more names that it writes out elsewhere.
    pub(crate) paths: Vec<Vec<String>>,
}

/// One name of a `use`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) path: Vec<String>,
    pub(crate) name: String,
    /// Whether others may import the name from here.
    pub(crate) is_export: bool,
}

impl Source {
    pub(crate) fn parse(text: &str) -> Source {
        let tokens = tokens(text);
        let mut source = Source::default();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let behind_a_path = at > 0 && tokens[at - 1] == ":";
            if starts_with(&tokens[at..], &["#", "[", "cfg", "(", "test", ")", "]"]) {
                let end = end_of_item(&tokens, at);
                let item: Vec<_> = tokens[at..end]
                    .iter()
                    .filter(|token| *token != "pub")
                    .collect();
                if let [.., key, name, end] = item.as_slice()
                    && (key.as_str(), end.as_str()) == ("mod", ";")
                {
                    source.test_modules.insert((*name).clone());
                }
                at = end;
            } else if token == "mod" && tokens.get(at + 2).is_some_and(|token| token == ";") {
                source.modules.insert(tokens[at + 1].clone());
                at += 3;
            } else if token == "use" {
                let is_export = at > 0 && matches!(tokens[at - 1].as_str(), "pub" | ")");
                at = source.read_use(&tokens, at + 1, &mut Vec::new(), is_export);
            } else if is_name(token) && !behind_a_path {
                let (path, end) = read_path(&tokens, at);
                if path.len() > 1 {
                    source.paths.push(path);
                }
                at = end;
            } else {
                at += 1;
            }
        }
        source
    }

    /// Reads one branch of a `use`, which begins at `at` below `prefix`; returns where it ends.
    fn read_use(
        &mut self,
        tokens: &[String],
        mut at: usize,
        prefix: &mut Vec<String>,
        is_export: bool,
    ) -> usize {
        let depth = prefix.len();
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token.as_str() {
                ":" => {}
                "{" => {
                    while tokens.get(at).is_some_and(|token| token != "}") {
                        at = self.read_use(tokens, at, prefix, is_export);
                        at += usize::from(tokens.get(at).is_some_and(|token| token == ","));
                    }
                    at += 1;
                    break;
                }
                "self"
                    if prefix.len() > 1 || prefix.first().is_some_and(|first| first != "super") =>
                {
                    // `a::{self}` names `a` itself.
                    self.import(prefix.clone(), None, is_export);
                    break;
                }
                name => {
                    prefix.push(name.to_owned());
                    if tokens.get(at).is_none_or(|next| next != ":") {
                        let alias = tokens.get(at).filter(|next| *next == "as");
                        let alias = alias.and_then(|_| tokens.get(at + 1));
                        at += if alias.is_some() { 2 } else { 0 };
                        self.import(prefix.clone(), alias, is_export);
                        break;
                    }
                }
            }
        }
        prefix.truncate(depth);
        at
    }

    fn import(&mut self, path: Vec<String>, alias: Option<&String>, is_export: bool) {
        if let Some(name) = alias.or(path.last()).cloned() {
            self.imports.push(Import {
                path,
                name,
                is_export,
            });
        }
    }
}

fn read_path(tokens: &[String], mut at: usize) -> (Vec<String>, usize) {
    let mut path = vec![tokens[at].clone()];
    at += 1;
    while starts_with(&tokens[at..], &[":", ":"]) && tokens.get(at + 2).is_some_and(|t| is_name(t))
    {
        path.push(tokens[at + 2].clone());
        at += 3;
    }
    (path, at)
}

/// Returns where the item that begins at `at`, attributes first, ends.
fn end_of_item(tokens: &[String], at: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.as_str() {
            "{" | "[" | "(" => depth += 1,
            "}" | "]" | ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && matches!(token.as_str(), "}" | ";") {
            return index + 1;
        }
    }
    tokens.len()
}

fn starts_with(tokens: &[String], expected: &[&str]) -> bool {
    tokens.len() >= expected.len() && tokens.iter().zip(expected).all(|(a, b)| a == b)
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Splits source text into names and signs; comments, texts and characters are left out.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = text_literal(rest) {
            length
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            tokens.push(rest[..end].to_owned());
            end
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, pair) in text.as_bytes().windows(2).enumerate() {
        match pair {
            b"/*" => depth += 1,
            b"*/" if depth == 1 => return at + 2,
            b"*/" => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// Returns the length of the text or character that `text` begins with, if it does.
fn text_literal(text: &str) -> Option<usize> {
    let unprefixed = text.trim_start_matches(['b', 'c']);
    let prefix = (text.len() - unprefixed.len()).min(1);
    let body = &text[prefix..];
    if let Some(raw) = body.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let end = raw[hashes + 1..].find(&close)? + hashes + 1 + close.len();
            return Some(prefix + 1 + end);
        }
    }
    let quote = body.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut inside = body.char_indices().skip(1);
    let mut characters = 0;
    while let Some((at, c)) = inside.next() {
        match c {
            '\\' => drop(inside.next()),
            c if c == quote => return Some(prefix + at + 1),
            // A lifetime has no closing quote behind its first character.
            _ if quote == '\'' && characters > 0 => return Some(prefix + 1),
            _ => {}
        }
        characters += usize::from(c != '\\');
    }
    Some(text.len())
}
