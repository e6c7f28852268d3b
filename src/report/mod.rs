//! Tables from recorded rows only; the same rows give the same text.

mod comparison;
mod spread;
mod table;

pub use comparison::comparison;
pub use spread::spread;
