//! Shards under the eyes of their clients, without a kernel.

mod authentication;
mod ended;
mod holds;
mod retained;
mod retained_once;
