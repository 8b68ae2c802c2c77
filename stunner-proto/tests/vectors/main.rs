//! The published vectors and a golden set, read and written: RFC 5769, RFC 8489 B.1 (erratum 6268), RFC 7635, and ours.

mod list;
mod read;
mod rewritten;
mod tokens;
