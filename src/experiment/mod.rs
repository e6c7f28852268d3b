//! Recorded results: the rows a run leaves behind and the folder they are kept in.
//!
//! A figure or a table is made from these files alone, never from a running host, so that everything printed can be made
//! again from what was recorded.

pub mod folder;
pub mod rows;
