//! `ringtail log import`: reads and checks every line, and only then writes the folder, in one step.

use super::arguments::Import;
use super::error::LogError;
use super::line::{End, FORMAT_VERSION, Line, QueuedLine, Wrong};
use crate::exit::Failure;
use crate::settings::Settings;
use ringtail_mqtt::message::Message;
use ringtail_mqtt::packet::PacketId;
use ringtail_shards::config::SHARDS_MAX;
use ringtail_shards::journal::{Contents, write_contents};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::rc::Rc;

/// Bytes of a line: the largest packet of MQTT, and what JSON may make of it.
const LINE_BYTES_MAX: u64 = 2 << 30;

pub(super) fn import(options: &Import) -> Result<(), Failure> {
    let settings = Settings::load(options.config.as_deref(), &options.arguments())?;
    let dir = &options.folder.dir;
    if !options.replace && !is_vacant(dir)? {
        return Err(LogError::NotEmpty { dir: dir.clone() }.into());
    }
    let contents = match &options.input {
        Some(path) => {
            let file = File::open(path).map_err(LogError::io("open", path))?;
            read_lines(BufReader::new(file), &path.display().to_string())?
        }
        None => read_lines(io::stdin().lock(), "standard input")?,
    };
    let shards = match settings.config.shards {
        0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(SHARDS_MAX),
        shards => shards,
    };
    write_contents(dir, shards as u32, &settings.config.storage, &contents).map_err(LogError::from)?;
    let (sessions, retained) = (contents.sessions.len(), contents.retained.len());
    let queued: usize = contents.sessions.iter().map(|session| session.messages.len()).sum();
    let dir = dir.display();
    writeln!(io::stdout(), "{dir} holds {sessions} sessions, {queued} queued and {retained} retained messages")?;
    Ok(())
}

/// True when nothing is in the folder, or it is not there.
fn is_vacant(dir: &Path) -> Result<bool, LogError> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(LogError::io("read", dir)(error)),
    }
}

fn read_lines(mut input: impl BufRead, name: &str) -> Result<Contents, LogError> {
    let (mut taken, mut bytes, mut line) = (Taken::default(), Vec::new(), 0);
    loop {
        line += 1;
        let wrong = |wrong| LogError::Line { input: name.to_owned(), line, wrong };
        bytes.clear();
        let read = (&mut input).take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes);
        match read.map_err(|error| wrong(Wrong::Unread(error)))? {
            0 => break,
            count if count as u64 == LINE_BYTES_MAX => return Err(wrong(Wrong::TooLong(LINE_BYTES_MAX))),
            _ => {}
        }
        // The place of an error within the line counts from the line's beginning.
        let parsed = serde_json::from_slice(&bytes).map_err(|error| wrong(Wrong::Json(error)))?;
        taken.take(parsed).map_err(wrong)?;
    }
    if !taken.ended {
        return Err(LogError::Line { input: name.to_owned(), line, wrong: Wrong::CutOff });
    }
    Ok(taken.contents)
}

/// What the lines so far have said.
#[derive(Default)]
struct Taken {
    contents: Contents,
    began: bool,
    ended: bool,
    /// Where sessions stand in the contents, and what of them must not come twice.
    sessions: HashMap<Box<str>, Known>,
    topics: HashSet<Box<str>>,
    shared: Shared,
    queued: usize,
}

struct Known {
    index: usize,
    packet_ids: HashSet<PacketId>,
    sequences: HashSet<u64>,
    /// The last of those that were sent, and of those that wait.
    last: [Option<u64>; 2],
}

impl Taken {
    fn take(&mut self, line: Line) -> Result<(), Wrong> {
        if self.ended {
            return Err(Wrong::AfterEnd);
        }
        match (self.began, line) {
            (false, Line::RingtailExport(header)) if header.version > FORMAT_VERSION => {
                return Err(Wrong::Newer(header.version));
            }
            (false, Line::RingtailExport(_)) => self.began = true,
            (false, _) => return Err(Wrong::NoHeader),
            (true, Line::RingtailExport(_)) => return Err(Wrong::SecondHeader),
            (true, Line::Session(line)) => {
                let session = line.session()?;
                let index = self.contents.sessions.len();
                let known = Known { index, packet_ids: HashSet::new(), sequences: HashSet::new(), last: [None; 2] };
                if self.sessions.insert(session.client_id.clone(), known).is_some() {
                    return Err(Wrong::SecondSession(session.client_id));
                }
                self.contents.sessions.push(session);
            }
            (true, Line::Queued(line)) => self.take_queued(line)?,
            (true, Line::Retained(line)) => {
                let message = line.message()?;
                if message.payload().is_empty() {
                    return Err(Wrong::EmptyRetained);
                }
                if !self.topics.insert(message.topic_name().into()) {
                    return Err(Wrong::SecondRetained(message.topic_name().into()));
                }
                self.contents.retained.push(Rc::new(message));
            }
            (true, Line::End(stated)) => {
                let Contents { sessions, retained } = &self.contents;
                let found = End { sessions: sessions.len(), queued: self.queued, retained: retained.len() };
                if stated != found {
                    return Err(Wrong::Counts);
                }
                self.ended = true;
            }
        }
        Ok(())
    }

    fn take_queued(&mut self, line: QueuedLine) -> Result<(), Wrong> {
        let Some(known) = self.sessions.get_mut(&line.client_id) else {
            return Err(Wrong::NoSession(line.client_id));
        };
        let kept = line.kept(|message| self.shared.the_one(message))?;
        if let Some(packet_id) = kept.packet_id
            && !known.packet_ids.insert(packet_id)
        {
            return Err(Wrong::SecondPacketId(packet_id));
        }
        let last = &mut known.last[usize::from(kept.packet_id.is_none())];
        let falls = last.replace(kept.sequence).is_some_and(|last| last >= kept.sequence);
        if falls || !known.sequences.insert(kept.sequence) {
            return Err(Wrong::Order);
        }
        self.contents.sessions[known.index].messages.push(kept);
        self.queued += 1;
        Ok(())
    }
}

/// Messages that are equal, once: what many sessions wait for was one message, and is to be written once again.
#[derive(Default)]
struct Shared(HashMap<u64, Vec<Rc<Message>>>);

impl Shared {
    fn the_one(&mut self, message: Message) -> Rc<Message> {
        let mut hasher = DefaultHasher::new();
        (message.topic_name(), message.properties(), message.payload()).hash(&mut hasher);
        let alike = self.0.entry(hasher.finish()).or_default();
        match alike.iter().find(|known| ***known == message) {
            Some(known) => Rc::clone(known),
            None => {
                let message = Rc::new(message);
                alike.push(Rc::clone(&message));
                message
            }
        }
    }
}
