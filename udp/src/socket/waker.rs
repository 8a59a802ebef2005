//! Ends a socket's wait from another thread.

use std::io;
use std::sync::Arc;
use std::task::{Wake, Waker};

use mio::{Registry, Token};

/// Of a waker's events: nobody looks at them.
const TOKEN: Token = Token(1);

struct EventWaker(mio::Waker);

impl Wake for EventWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Where it fails, the wait ends by itself, by the longest sleep of the loop.
        let _ = self.0.wake();
    }
}

/// A waker of whoever polls `registry`. There can be one.
pub(super) fn waker(registry: &Registry) -> io::Result<Waker> {
    Ok(Arc::new(EventWaker(mio::Waker::new(registry, TOKEN)?)).into())
}
