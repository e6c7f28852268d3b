//! The host of Flink jobs: an unchanged job on a real cluster, looked at and rescaled through REST.
//!
//! ```text
//!  cluster ─► Link ─► Rest ─► Watch ─► OpenWindow ─► records ─► Observer ─► Observation ─► Controller
//!                                  └─► Barriers (a checkpoint) ─► path, blame ─► EpochPath ─┘      │
//!  cluster ◄─ one PUT of every vertex ◄─ Rescale ◄───────────────── Limited plan ◄─────────────────┘
//! ```
//!
//! It knows HTTP and Flink's JSON. *Ordinary checkpoints are epochs*: when the barriers of one came to each
//! subtask says where a record waits ([`Barriers`]), and counters say what serving it takes. What may be
//! asked is bounded ([`Limits`]); what is asked is verified by running tasks, and taken back if they do
//! not come ([`Rescale`]). Invariants: an answer may be anything, and nothing is done on what is not
//! understood; a policy never sees a window in which the job restarted or caught up.

mod address;
mod attach;
mod barriers;
mod blamed;
mod checkpoints;
mod counters;
mod drive;
mod error;
mod graph;
mod http;
mod job;
mod json;
mod limits;
mod link;
mod news;
mod requirements;
mod rescale;
mod rest;
mod session;
mod watch;
mod window;

pub use address::{Address, AddressError, Credentials, CredentialsError, PASSWORD, TOKEN, USER};
pub use attach::{Attached, DriveError, attach, check_scheduler};
pub use barriers::{Barriers, Hop, NoEpoch, Wait, blame, most_blamed};
pub use blamed::mostly_blamed;
pub use checkpoints::{Arrival, Arrivals, Checkpoint, CheckpointConfig, History};
pub use counters::Counters;
pub use drive::{DriveConfig, Ending, Prepare, drive};
pub use error::{RestError, RestErrorKind};
pub use graph::{Graph, GraphError, Node};
pub use http::HttpLink;
pub use job::{Hex, Input, Job, Listed, MOST_PARALLELISM, Ship, Vertex};
pub use limits::{Limited, Limits};
pub use link::{Answer, Link, LinkError, Method, Request};
pub use news::{Closed, Listener, News, What, text_of};
pub use requirements::Bounds;
pub use rescale::{Outcome, Rescale};
pub use rest::{Allowed, Overview, Rest, Settings};
pub use session::{Head, Recording, Replay, SessionError};
pub use watch::{Look, Pace, Watch};
pub use window::{Measured, OpenWindow, Round, Seen, Told, Unknown, epoch_path};
