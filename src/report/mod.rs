//! Tables from recorded rows only; the same rows give the same text.

mod comparison;
mod ranking;
mod spread;
mod table;

pub use comparison::comparison;
pub use ranking::ranking_table;
pub use spread::spread;
