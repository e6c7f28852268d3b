//! `--tui`: a run on the whole terminal, drawn again as it goes on.
//!
//! It is drawn on a screen of its own on standard error, by a thread that reads what is known of the run and never makes it
//! wait. Whatever ends the process gives the terminal back as it was: the end of the run, Ctrl-C, a panic, SIGTERM.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Once};
use std::thread::JoinHandle;
use std::time::Duration;

use console::Term;
use signal_hook::consts::{SIGHUP, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::live::teller::Board;
use crate::live::terminal::{Screen, lines};

/// How often something new is looked for.
const LOOKS: Duration = Duration::from_millis(100);
/// A screen of its own, without a cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// Whether the terminal is ours.
static ENTERED: AtomicBool = AtomicBool::new(false);

/// Whether standard error is a terminal that can be drawn on.
pub(super) fn is_there() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Gives the terminal back, if it is ours.
pub(super) fn leave() {
    if ENTERED.swap(false, Ordering::SeqCst) {
        let _ = std::io::stderr().write_all(LEAVE.as_bytes());
    }
}

/// A run on the terminal, until this is dropped.
#[derive(Debug)]
pub(super) struct Terminal {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Terminal {
    /// Shows what `board` knows, with `notes` below.
    ///
    /// # Errors
    /// When the system gives no thread, or lets no signals be handled.
    pub(super) fn enter(board: Arc<Board>, notes: Vec<String>) -> std::io::Result<Terminal> {
        guard()?;
        let (stop, stopped) = mpsc::channel();
        ENTERED.store(true, Ordering::SeqCst);
        let _ = std::io::stderr().write_all(ENTER.as_bytes());
        let thread = std::thread::Builder::new().name("terminal".to_owned()).spawn(move || {
            let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            let mut shown = None;
            loop {
                let (rows, columns) = Term::stderr().size();
                let what = (board.number(), rows, columns);
                if shown != Some(what) {
                    let screen = Screen { width: columns.into(), height: rows.into(), colours };
                    draw(&board.read(|model, _| lines(model, &notes, screen)));
                    shown = Some(what);
                }
                if stopped.recv_timeout(LOOKS) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
        });
        let thread = thread.inspect_err(|_| leave())?;
        Ok(Terminal { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        leave();
    }
}

/// Draws lines over what is there, unless the terminal has been given back.
fn draw(lines: &[String]) {
    let mut text = "\x1b[H".to_owned();
    for (place, line) in lines.iter().enumerate() {
        let _ = write!(text, "{}{line}\x1b[K", if place == 0 { "" } else { "\r\n" });
    }
    text.push_str("\x1b[J");
    if ENTERED.load(Ordering::SeqCst) {
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

/// Has the terminal given back before a panic is printed, and before a signal ends the process.
fn guard() -> std::io::Result<()> {
    static GUARDED: Once = Once::new();
    let mut signals = Signals::new([SIGTERM, SIGHUP])?;
    GUARDED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            leave();
            before(panic);
        }));
        std::thread::spawn(move || {
            for signal in signals.forever() {
                leave();
                let _ = emulate_default_handler(signal);
            }
        });
    });
    Ok(())
}
