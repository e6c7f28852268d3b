//! A run as a page shows it, and the server that shows a run while it goes on.
//!
//! A [`Story`] is the data of the page. A [`Model`] makes it from the rows and the decision log of a
//! run: all at once from a run folder ([`Model::of_folder`]), or window by window while the job runs.
//! Both go through the same calls, so that a page of a finished run shows what the live page showed.
//! No host is named here: whatever hands over rows and events can be watched. An [`Analyst`] does the same
//! for the analysis of a trace, from its records and the windows that were analysed.
//!
//! [`page`] puts a story and the front end (`front/`) into one HTML file. [`server`] serves the same
//! front end, which then asks for the story and listens for what is new.

mod analyst;
pub mod folder;
mod model;
mod news;
pub mod page;
pub mod prometheus;
pub mod server;
mod story;
pub mod teller;
pub mod terminal;
mod told;
mod trace_rows;
mod watch;

pub use analyst::Analyst;
pub use model::Model;
pub use news::{News, Tail};
pub use story::{
    About, Compared, Decision, Diagnosis, HeldAt, InstanceAt, Instances, Migration, OperatorAbout, OperatorAt, PathAt, PathPart, QuietSpan,
    State, SteeredBy, Story, Warning, Window,
};
