//! The index of what went wrong in other tools is true: each test that it names is there, and names its row.

const INDEX: &str = include_str!("field-failures.txt");

/// The comment right above a test, macros and attributes left out.
fn comment_above(source: &str, function: &str) -> Option<String> {
    let at = source.find(&format!("fn {function}("))?;
    let lines: Vec<&str> = source[..at].lines().collect();
    let above = lines.iter().rev().skip(usize::from(!source[..at].ends_with('\n')));
    let comment = above.map(|line| line.trim()).take_while(|line| line.starts_with("//") || line.starts_with("#["));
    Some(comment.filter(|line| line.starts_with("//")).map(|line| format!("{line}\n")).collect())
}

#[test]
fn every_row_has_its_test_and_every_test_its_row() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut wrongs, mut named) = (Vec::new(), 0);
    for line in INDEX.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (row, rest) = line.split_once(": ").expect("`row: file function`");
        if rest.starts_with("later: ") {
            continue;
        }
        named += 1;
        let (file, function) = rest.split_once(' ').expect("`file function`");
        let source = std::fs::read_to_string(root.join(file)).unwrap_or_default();
        match comment_above(&source, function) {
            None => wrongs.push(format!("{row}: there is no `{function}` in {file}")),
            Some(comment) if !comment.contains(row) => {
                wrongs.push(format!("{row}: the comment above `{function}` in {file} does not name it"));
            }
            Some(_) => {}
        }
    }
    assert!(wrongs.is_empty() && named > 30, "{named} named; wrong:\n{}", wrongs.join("\n"));
}
