//! Criterion benches of the hot parts; each bench is a file of this folder.
