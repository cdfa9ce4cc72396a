//! The rules of the session, one test a rule, through its public interface and real bytes.

#[path = "session/rig.rs"]
mod rig;

#[path = "session/aliases.rs"]
mod aliases;
#[path = "session/connecting.rs"]
mod connecting;
#[path = "session/delivering.rs"]
mod delivering;
#[path = "session/ending.rs"]
mod ending;
#[path = "session/publishing.rs"]
mod publishing;
#[path = "session/queueing.rs"]
mod queueing;
#[path = "session/restoring.rs"]
mod restoring;
#[path = "session/resuming.rs"]
mod resuming;
