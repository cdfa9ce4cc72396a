//! `ringtail log export`: a header, then each session with its messages, then the retained messages, then the end with the
//! counts. In an order that depends on the contents alone, so that two exports can be compared.

use super::arguments::Export;
use super::error::LogError;
use super::line::{End, FORMAT_VERSION, Header, Line, MessageLine, QueuedLine, SessionLine};
use crate::exit::Failure;
use ringtail_shards::journal::{Contents, read_contents};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub(super) fn export(options: &Export) -> Result<(), Failure> {
    super::open(&options.folder.dir, ringtail_storage::Access::Read)?;
    let contents = read_contents(&options.folder.dir).map_err(LogError::from)?;
    match &options.output {
        None => {
            let mut out = BufWriter::new(io::stdout().lock());
            write_lines(&contents, &mut out)?;
            Ok(out.flush()?)
        }
        Some(path) => Ok(write_file(&contents, path).map_err(LogError::io("write", path))?),
    }
}

/// Only its owner may read the file: it holds what clients have said to one another.
fn write_file(contents: &Contents, path: &Path) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".unfinished");
    let unfinished = PathBuf::from(name);
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    let mut out = BufWriter::new(file);
    write_lines(contents, &mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&unfinished, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn write_lines(contents: &Contents, out: &mut impl Write) -> io::Result<()> {
    let mut sessions: Vec<_> = contents.sessions.iter().collect();
    sessions.sort_unstable_by_key(|session| &session.client_id);
    let mut retained: Vec<_> = contents.retained.iter().collect();
    retained.sort_unstable_by_key(|message| message.topic_name());

    let mut end = End { sessions: sessions.len(), queued: 0, retained: retained.len() };
    let program = env!("CARGO_PKG_VERSION").to_owned();
    write_line(&Line::RingtailExport(Header { version: FORMAT_VERSION, program }), out)?;
    for session in sessions {
        write_line(&Line::Session(SessionLine::from(session)), out)?;
        end.queued += session.messages.len();
        for message in &session.messages {
            write_line(&Line::Queued(QueuedLine::new(&session.client_id, message)), out)?;
        }
    }
    for message in retained {
        write_line(&Line::Retained(MessageLine::from(&**message)), out)?;
    }
    write_line(&Line::End(end), out)
}

fn write_line(line: &Line, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}
