//! Style as a test: rules of this repository that neither the compiler nor clippy knows. Each says what it is for when it
//! fails. Exceptions stand in lists here, with their reasons.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The only folders and files where `unsafe` may stand. Clippy sees to the SAFETY line of each block.
const UNSAFE_ROOMS: [&str; 4] = ["shards/src/wire/", "shards/src/mesh/", "storage/src/map/", "storage/src/map.rs"];

/// Calls that end the program or the thread, allowed outside tests: (file, what the line contains, why).
const MAY_PANIC: [(&str, &str, &str); 1] =
    [("loadgen/src/histogram.rs", "constant digits", "the digits are a constant, and a test makes one")];

/// Lines of code that a file may have before its tests.
const LINES_MAX: usize = 800;

/// Folders that are not ours, or made.
const NOT_OURS: [&str; 8] =
    [".git", "target", "node_modules", ".venv", "__pycache__", "corpus", "artifacts", ".pytest_cache"];

struct File {
    /// Relative to the repository, with `/`.
    name: String,
    path: PathBuf,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.name.ends_with(".rs")
    }

    /// True for what only ever runs in tests, benches and under the fuzzer.
    fn is_of_tests(&self) -> bool {
        ["tests/", "benches/", "fuzz/"].iter().any(|of| self.name.starts_with(of)) || self.name.contains("/tests/")
    }
}

/// Every text file of the repository.
fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_symlink() || NOT_OURS.iter().any(|name| path.ends_with(name)) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.push(File { name, path, text });
            }
        }
    }
    assert!(files.len() > 50, "the repository was not found");
    files
}

/// Rust source with everything in comments, strings and characters made blank. Lines stay where they are.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(hashes) = raw_string(rest, code.chars().next_back()) {
            let end = format!("\"{}", "#".repeat(hashes));
            let begin = rest.find('"').unwrap() + 1;
            rest[begin..].find(&end).map_or(rest.len(), |at| begin + at + end.len())
        } else if first == '"' {
            string_end(rest)
        } else if first == '\'' {
            character_end(rest)
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.extend(rest[..skipped].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[skipped..];
    }
    code
}

/// The number of `#` of a raw string that begins here.
fn raw_string(rest: &str, before: Option<char>) -> Option<usize> {
    let after = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let is_name = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    (!is_name && after[hashes..].starts_with('"')).then_some(hashes)
}

fn string_end(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    rest.len()
}

/// The end of a character; 1 for the quote of a lifetime.
fn character_end(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, escaped))) => {
            let after = at + escaped.len_utf8();
            rest[after..].find('\'').map_or(1, |end| after + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

/// The lines of a file before its tests, with their numbers.
fn lines_before_tests(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut lines = code.lines().enumerate().peekable();
    std::iter::from_fn(move || {
        let (n, line) = lines.next()?;
        let is_test = is_test_attribute(line);
        let is_block =
            lines.peek().is_some_and(|(_, next)| next.trim_start().starts_with("mod ") && next.ends_with('{'));
        (!(is_test && is_block)).then_some((n + 1, line))
    })
}

fn is_test_attribute(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("#[cfg(test") || line.starts_with("#[cfg(all(test")
}

/// Paths of the modules that another file declares for tests alone.
fn test_modules(files: &[File]) -> Vec<String> {
    let mut modules = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let lines: Vec<&str> = file.text.lines().collect();
        let stem = file.name.trim_end_matches(".rs");
        let is_root = ["mod", "lib", "main"].iter().any(|root| stem.ends_with(&format!("/{root}")));
        let folder = if is_root { stem.rsplit_once('/').map_or("", |(folder, _)| folder) } else { stem };
        for pair in lines.windows(2).filter(|pair| is_test_attribute(pair[0])) {
            let declared = pair[1].trim().trim_start_matches("pub(crate) ").strip_prefix("mod ");
            if let Some(name) = declared.and_then(|name| name.strip_suffix(';')) {
                modules.push(format!("{folder}/{name}.rs"));
                modules.push(format!("{folder}/{name}/"));
            }
        }
    }
    modules
}

/// Fails with a rule and every place that breaks it.
fn none(rule: &str, places: Vec<String>) {
    assert!(places.is_empty(), "{rule}\n  {}", places.join("\n  "));
}

/// The places of Rust code where a line is `wrong`.
fn places(files: &[File], of: impl Fn(&File) -> bool, wrong: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.is_rust() && of(file)) {
        for (n, line) in code_of(&file.text).lines().enumerate().filter(|(_, line)| wrong(line)) {
            found.push(format!("{}:{}: {}", file.name, n + 1, line.trim()));
        }
    }
    found
}

/// True when `word` stands in a line by itself.
fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

#[test]
fn unsafe_has_its_rooms() {
    let outside = |file: &File| !UNSAFE_ROOMS.iter().any(|room| file.name.starts_with(room));
    let found = places(&files(), outside, |line| has_word(line, "unsafe"));
    none("unsafe code stands in shards/src/wire, shards/src/mesh and storage/src/map alone", found);
}

#[test]
fn the_protocol_reads_no_clock() {
    let clock = |line: &str| line.contains("Instant::now") || line.contains("SystemTime::now");
    let found = places(&files(), |file| file.name.starts_with("mqtt/"), clock);
    none("time is an argument of everything in mqtt/", found);
}

#[test]
fn nothing_is_left_for_later() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
    let mut found = Vec::new();
    for file in files().iter().filter(|file| !file.name.ends_with(".lock") && !file.name.ends_with("package-lock.json"))
    {
        for (n, line) in file.text.lines().enumerate() {
            if marks.iter().any(|mark| has_word(line, mark)) {
                found.push(format!("{}:{}: {}", file.name, n + 1, line.trim()));
            }
        }
    }
    none("finish it, or say in an issue what is missing", found);
}

#[test]
fn every_test_runs() {
    let found = places(&files(), |_| true, |line| line.trim_start().starts_with("#[ignore"));
    none("a test that does not run tests nothing", found);
}

#[test]
fn only_tests_panic() {
    const CALLS: [&str; 7] =
        [".unwrap()", ".expect(", "panic!(", "unreachable!(", "unimplemented!(", "todo!(", ".unwrap_unchecked("];
    let files = files();
    let of_tests = test_modules(&files);
    let mut found = Vec::new();
    let mut used = [false; MAY_PANIC.len()];
    for file in files.iter().filter(|file| file.is_rust() && !file.is_of_tests()) {
        if of_tests.iter().any(|module| file.name.starts_with(module)) {
            continue;
        }
        let code = code_of(&file.text);
        for (n, line) in lines_before_tests(&code).filter(|(_, line)| CALLS.iter().any(|call| line.contains(call))) {
            let written = file.text.lines().nth(n - 1).unwrap_or(line).trim();
            let allowed = MAY_PANIC.iter().position(|(name, part, _)| *name == file.name && written.contains(part));
            match allowed {
                Some(exception) => used[exception] = true,
                None => found.push(format!("{}:{n}: {written}", file.name)),
            }
        }
    }
    none("return a typed error, or write so that it cannot fail", found);
    let unused = MAY_PANIC.iter().zip(used).filter(|(_, used)| !used).map(|(exception, _)| format!("{exception:?}"));
    none("these exceptions are not needed any more", unused.collect());
}

#[test]
fn files_are_short() {
    let mut found = Vec::new();
    for file in files().iter().filter(|file| file.is_rust()) {
        let count = lines_before_tests(&file.text).count();
        if count > LINES_MAX {
            found.push(format!("{}: {count} lines", file.name));
        }
    }
    none("a file has one subject: find its parts", found);
}

#[test]
fn modules_say_what_they_are_for() {
    let files = files();
    let silent = files.iter().filter(|file| file.is_rust() && !file.text.starts_with("//! "));
    none("a file begins with //! and what it is for", silent.map(|file| file.name.clone()).collect());
}

#[test]
fn packages_take_the_lints_of_the_workspace() {
    let files = files();
    let lax = files.iter().filter(|file| file.name.ends_with("Cargo.toml") && !file.name.starts_with("fuzz/"));
    let lax = lax.filter(|file| !file.text.contains("[lints]\nworkspace = true\n")).map(|file| file.name.clone());
    none("[lints] workspace = true", lax.collect());
}

#[test]
fn scripts_can_be_run() {
    let files = files();
    let scripts: Vec<&File> =
        files.iter().filter(|file| file.name.starts_with("scripts/") || file.name == ".ci/run").collect();
    assert!(!scripts.is_empty());
    let wrong = scripts.iter().filter(|file| {
        let executable = fs::metadata(&file.path).unwrap().permissions().mode() & 0o111 == 0o111;
        !executable || !file.text.starts_with("#!")
    });
    none("a script begins with #! and has the mode 755", wrong.map(|file| file.name.clone()).collect());
}

#[test]
fn links_lead_somewhere() {
    let mut found = Vec::new();
    for file in files().iter().filter(|file| file.name.ends_with(".md")) {
        let mut fenced = false;
        for (n, line) in file.text.lines().enumerate() {
            fenced ^= line.trim_start().starts_with("```");
            for link in links(line).filter(|link| !fenced && !link.contains("://") && !link.starts_with("mailto:")) {
                if !leads_somewhere(file, link) {
                    found.push(format!("{}:{}: {link}", file.name, n + 1));
                }
            }
        }
    }
    none("a link leads to a file or a heading that exists", found);
}

/// The targets of the links of a line of Markdown.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

fn leads_somewhere(from: &File, link: &str) -> bool {
    let (path, heading) = link.split_once('#').unwrap_or((link, ""));
    let target = if path.is_empty() { from.path.clone() } else { from.path.with_file_name(path) };
    if heading.is_empty() {
        return target.exists();
    }
    let text = fs::read_to_string(target).unwrap_or_default();
    text.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == heading)
}

/// The anchor that a heading of Markdown gets.
fn anchor(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    words
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn code_is_told_from_what_it_quotes() {
    let text = "a(\"b // \\\" c\"); // d\nlet e = 'f'; let g: &'h str = r#\"i \"j\" k\"#; /* l\nm */ n('\\'', '\"')";
    let code = code_of(text);
    let words: Vec<&str> = code.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    assert_eq!(words, ["a", "let", "e", "let", "g", "h", "str", "n"]);
    assert_eq!(code.lines().count(), text.lines().count());
}
