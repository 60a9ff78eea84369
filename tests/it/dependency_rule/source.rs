//! Reads Rust far enough to know which paths a file names: tokens without comments, texts and test code.

/// A word or one sign, and its line, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

/// A path as the code names it, such as `crate::engine::EngineError`; a `use` of several is several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub path: Vec<String>,
    pub line: usize,
    /// Within a `use`, so that a single word is a crate and not a variable.
    pub imported: bool,
}

/// The tokens of `text` that are neither comment nor text nor under `#[cfg(test)]`.
pub fn tokens(text: &str) -> Vec<Token> {
    without_tests(words(&blanked(text)))
}

/// Files that `text` declares with `#[cfg(test)] mod name;`.
pub fn test_modules(text: &str) -> Vec<String> {
    let words = words(&blanked(text));
    let after = |at: usize| words.get(at).map(|word| word.text.as_str());
    let declared = (0..words.len()).filter(|at| is_test_mark(&words, *at));
    let named = declared.filter_map(|at| {
        let module = (at + 7..at + 12).find(|at| after(*at) == Some("mod"))?;
        (after(module + 2) == Some(";")).then(|| after(module + 1).unwrap_or_default().to_owned())
    });
    named.collect()
}

/// Every path that `tokens` name.
pub fn named(tokens: &[Token]) -> Vec<Named> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut imported = false;
    while at < tokens.len() {
        let text = tokens[at].text.as_str();
        imported = text == "use" || imported && text != ";";
        let starts = is_word(text) || text == "{" && at > 0 && tokens[at - 1].text == "use";
        at = if starts { tree(tokens, at, &[], imported, &mut found) } else { at + 1 };
    }
    found
}

/// Follows the path, or the tree of paths, that starts at `at`; says where it ends.
fn tree(tokens: &[Token], mut at: usize, before: &[String], imported: bool, found: &mut Vec<Named>) -> usize {
    let mut path = before.to_vec();
    loop {
        let Some(token) = tokens.get(at) else { return at };
        if token.text == "{" {
            at += 1;
            while tokens.get(at).is_some_and(|token| token.text != "}") {
                let word = is_word(&tokens[at].text) || tokens[at].text == "{";
                at = if word { tree(tokens, at, &path, imported, found) } else { at + 1 };
            }
            return at + 1;
        }
        if !is_word(&token.text) {
            return at;
        }
        path.push(token.text.clone());
        at += 1;
        let more = tokens.get(at).is_some_and(|next| next.text == "::");
        let next = tokens.get(at + 1).is_some_and(|next| is_word(&next.text) || imported && next.text == "{");
        if !(more && next) {
            found.push(Named { path, line: token.line, imported });
            return at;
        }
        at += 1;
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn words(text: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut line = 1;
    let mut glued = false;
    for c in text.chars() {
        let word = c.is_alphanumeric() || c == '_';
        match tokens.last_mut() {
            Some(last) if glued && word && last.text.starts_with(|c: char| c.is_alphanumeric() || c == '_') => {
                last.text.push(c);
            }
            Some(last) if glued && c == ':' && last.text == ":" => last.text.push(c),
            _ if !c.is_whitespace() => tokens.push(Token { text: c.to_string(), line }),
            _ => {}
        }
        glued = !c.is_whitespace();
        line += usize::from(c == '\n');
    }
    tokens
}

/// `# [ cfg ( test ) ]` at `at`.
fn is_test_mark(tokens: &[Token], at: usize) -> bool {
    let mark = ["#", "[", "cfg", "(", "test", ")", "]"];
    mark.iter().enumerate().all(|(index, text)| tokens.get(at + index).is_some_and(|token| token.text == *text))
}

fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_test_mark(&tokens, at) {
            at = item_end(&tokens, at + 7);
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// Behind the `;` or the closing brace of the item that starts at `at`.
fn item_end(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            "}" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return index + 1;
                }
            }
            ";" if depth == 0 => return index + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// `text` with blanks for comments, texts and characters; lines stay where they are.
fn blanked(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skip(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment, text or character that starts at `at` ends; `at` itself where none starts.
fn skip(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    let in_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match rest {
        ['/', '/', ..] => at + rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => comment_end(chars, at),
        ['"', ..] => text_end(chars, at + 1, '"'),
        ['r', '"' | '#', ..] if !in_word || matches!(chars.get(at.wrapping_sub(1)), Some('b' | 'c')) => {
            raw_end(chars, at)
        }
        ['\'', '\\', ..] => text_end(chars, at + 1, '\''),
        ['\'', _, '\'', ..] => at + 3,
        _ => at,
    }
}

fn comment_end(chars: &[char], at: usize) -> usize {
    let mut depth = 0_usize;
    let mut here = at;
    while here < chars.len() {
        match chars[here..] {
            ['/', '*', ..] => (depth, here) = (depth + 1, here + 2),
            ['*', '/', ..] => (depth, here) = (depth - 1, here + 2),
            _ => here += 1,
        }
        if depth == 0 {
            break;
        }
    }
    here
}

fn text_end(chars: &[char], from: usize, quote: char) -> usize {
    let mut here = from;
    while here < chars.len() && chars[here] != quote {
        here += if chars[here] == '\\' { 2 } else { 1 };
    }
    (here + 1).min(chars.len())
}

fn raw_end(chars: &[char], at: usize) -> usize {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + 1 + hashes) != Some(&'"') {
        return at; // `r#match`
    }
    let mut here = at + 2 + hashes;
    while here < chars.len() {
        let closes = chars[here] == '"' && chars[here + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
        here += 1;
        if closes {
            return here + hashes;
        }
    }
    here
}
