//! Measurements; see the files beside `src`.
