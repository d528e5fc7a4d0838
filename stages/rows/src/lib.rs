//! Reads and writes `rows` and `tokens` artifacts as Arrow IPC. The only crate that names arrow2.
