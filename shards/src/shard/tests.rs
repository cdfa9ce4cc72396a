//! Shards under the eyes of their clients, without a kernel.

mod abandoned;
mod answers;
mod arriving;
mod authentication;
mod ended;
mod failing_log;
mod holds;
mod rejects;
mod retained;
mod retained_once;
