//! Executors that do no more than they must.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};

struct Unparks(Thread);

impl Wake for Unparks {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls a future on this thread, which sleeps meanwhile.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Arc::new(Unparks(thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Polls many futures on this thread, each only when it was woken; returns what they came to.
pub(crate) fn run_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let woken = Arc::new(Woken { places: Mutex::default(), executor: thread::current() });
    let mut tasks: Vec<_> = futures.into_iter().map(Box::pin).map(Some).collect();
    let mut outputs: Vec<_> = tasks.iter().map(|_| None).collect();
    woken.places.lock().expect("nobody panicked").extend(0..tasks.len());
    while outputs.iter().any(Option::is_none) {
        let places = std::mem::take(&mut *woken.places.lock().expect("nobody panicked"));
        if places.is_empty() {
            thread::park();
        }
        for place in places {
            let waker = Arc::new(WakesOne { place, woken: woken.clone() }).into();
            let Some(task) = &mut tasks[place] else { continue };
            if let Poll::Ready(output) = task.as_mut().poll(&mut Context::from_waker(&waker)) {
                outputs[place] = Some(output);
                tasks[place] = None;
            }
        }
    }
    outputs.into_iter().flatten().collect()
}

/// The tasks that were woken.
struct Woken {
    places: Mutex<BTreeSet<usize>>,
    executor: Thread,
}

struct WakesOne {
    place: usize,
    woken: Arc<Woken>,
}

impl Wake for WakesOne {
    fn wake(self: Arc<Self>) {
        self.woken.places.lock().expect("nobody panicked").insert(self.place);
        self.woken.executor.unpark();
    }
}
