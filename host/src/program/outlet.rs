//! A thread that writes to an output. Who reads an output may hold it open and not read: then
//! texts wait, and nobody waits for them longer than a moment.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Builder;
use std::time::Duration;

/// How long a text is waited for.
const MOMENT: Duration = Duration::from_millis(500);
/// Most texts that wait; what comes then is lost.
const WAITING_MAX: usize = 64;

/// A way to an output.
pub(super) struct Outlet {
    texts: SyncSender<Text>,
    state: Arc<State>,
}

struct Text {
    text: String,
    written: SyncSender<io::Result<()>>,
}

#[derive(Default)]
struct State {
    /// A text was waited for in vain: nobody waits until one is written.
    is_late: AtomicBool,
    lost: AtomicU64,
}

impl Outlet {
    /// An error if there is no thread for it.
    pub(super) fn open(
        write: impl Fn(&str) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let (texts, given) = sync_channel(WAITING_MAX);
        let state = Arc::new(State::default());
        let of_thread = state.clone();
        let run = move || of_thread.write_all(&given, write);
        Builder::new().name("output".to_owned()).spawn(run)?;
        Ok(Self { texts, state })
    }

    /// Returns when the text is written, or with an error after a moment; the text may be
    /// written later then.
    pub(super) fn write(&self, text: String) -> io::Result<()> {
        let unread = |_| io::Error::new(ErrorKind::TimedOut, "nobody reads it");
        let (written, result) = sync_channel(1);
        if self.texts.try_send(Text { text, written }).is_err() {
            self.state.lost.fetch_add(1, Ordering::Relaxed);
            return Err(unread(()));
        }
        let is_late = self.state.is_late.load(Ordering::Relaxed);
        let patience = if is_late { Duration::ZERO } else { MOMENT };
        result.recv_timeout(patience).unwrap_or_else(|_| {
            self.state.is_late.store(true, Ordering::Relaxed);
            Err(unread(()))
        })
    }

    /// As [`write`](Self::write), and waits though an earlier text is late.
    pub(super) fn write_last(&self, text: String) -> io::Result<()> {
        self.state.is_late.store(false, Ordering::Relaxed);
        self.write(text)
    }

    /// Texts that will never be written.
    pub(super) fn lost(&self) -> u64 {
        self.state.lost.load(Ordering::Relaxed)
    }
}

impl State {
    fn write_all(&self, given: &Receiver<Text>, write: impl Fn(&str) -> io::Result<()>) {
        for Text { text, written } in given {
            let result = write(&text);
            self.is_late.store(false, Ordering::Relaxed);
            self.lost.fetch_add(u64::from(result.is_err()), Ordering::Relaxed);
            // Its giver may wait no more.
            let _ = written.send(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Instant;

    use super::*;

    #[test]
    fn who_gives_a_text_is_told_how_it_was_written() {
        let write = |text: &str| match text {
            "good" => Ok(()),
            _ => Err(ErrorKind::StorageFull.into()),
        };
        let outlet = Outlet::open(write).unwrap();
        outlet.write("good".to_owned()).unwrap();
        assert_eq!(outlet.lost(), 0);
        assert_eq!(outlet.write("bad".to_owned()).unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(outlet.lost(), 1);
    }

    #[test]
    fn a_reader_that_does_not_read_is_waited_for_once_and_gets_what_had_room() {
        let (read, may_write) = channel::<()>();
        let (to_test, texts) = channel();
        let outlet = Outlet::open(move |text| {
            let _ = may_write.recv();
            to_test.send(text.to_owned()).map_err(io::Error::other)
        });
        let outlet = outlet.unwrap();
        let given = 3 * WAITING_MAX;
        let began = Instant::now();
        for text in 0..given {
            assert_eq!(outlet.write(text.to_string()).unwrap_err().kind(), ErrorKind::TimedOut);
        }
        assert!(began.elapsed() < 2 * MOMENT, "{:?}", began.elapsed());
        // One is being written.
        assert_eq!(outlet.lost(), (given - WAITING_MAX - 1) as u64);
        drop(read);
        let got: Vec<_> = (0..=WAITING_MAX).map(|_| texts.recv().unwrap()).collect();
        assert!(got.iter().enumerate().all(|(at, text)| *text == at.to_string()), "{got:?}");
        outlet.write_last("the end".to_owned()).unwrap();
        assert_eq!(texts.recv().unwrap(), "the end");
    }
}
