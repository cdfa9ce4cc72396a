//! Writes the fuzzer's first corpus: every row of the packet table in each of its versions, and some topics.

#[path = "../mqtt/tests/codec_table/mod.rs"]
mod codec_table;

use std::path::Path;
use std::{fs, io};

const TOPICS: &[&str] = &[
    "a/b\na/b",
    "#\na/b/c",
    "+/+\n/a",
    "a/+/#\na/b/c",
    "a/#\na",
    "$SYS/#\n$SYS/x",
    "+/x\n$SYS/x",
    "$share/g/a/+\na/b",
    "$share//a\na",
    "a//+\na//b",
    "gr\u{f6}\u{df}e/+\ngr\u{f6}\u{df}e/\u{1d11e}",
];

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let codec = corpus.join("codec");
    let topic = corpus.join("topic");
    fs::create_dir_all(&codec)?;
    fs::create_dir_all(&topic)?;
    for (number, row) in codec_table::rows().iter().enumerate() {
        for version in row.versions {
            // The fuzz target takes its version from the first byte: 0, 1 and 2 are 3.1, 3.1.1 and 5.0.
            let choice = *version as u8 - 3;
            fs::write(codec.join(format!("row-{number}-{choice}")), [&[choice], row.bytes].concat())?;
        }
    }
    for (number, pair) in TOPICS.iter().enumerate() {
        fs::write(topic.join(format!("topic-{number}")), pair)?;
    }
    Ok(())
}
