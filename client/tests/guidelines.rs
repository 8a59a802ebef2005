//! What callers take for granted of a Rust library.
#![forbid(unsafe_code)]

use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::time::Duration;

use client::calls::{CallCounters, Calls, NotTaken};
use client::entropy::Entropy;
use client::near_cache::NearCache;
use client::pool::SessionPool;
use client::{
    Answer, CacheConfig, Call, Client, Config, Connection, Error, Ping, Pipeline, Record, Refusal,
    Source, TooLarge, Version, Why, WorkerStats,
};
use testkit::process::any_program;
use testkit::server::Server;

#[test]
fn everything_can_be_sent_to_other_threads_and_shown() {
    const fn is<T: Send + Sync + Debug>() {}
    is::<Client>();
    is::<Config>();
    is::<CacheConfig>();
    is::<Error>();
    is::<Answer>();
    is::<Record>();
    is::<WorkerStats>();
    is::<Ping>();
    is::<CallCounters>();
    is::<NearCache>();
    is::<Entropy>();
    is::<Connection>();
    is::<Pipeline<'static>>();
    is::<Calls<u32>>();
    is::<NotTaken<u32>>();
    is::<SessionPool<u32>>();
    const fn is_future<T: Send + Debug + Future>() {}
    is_future::<Call<Version>>();
}

#[test]
fn what_is_small_can_be_copied_compared_and_hashed() {
    const fn is<T: Copy + Eq + Hash + Debug + Send + Sync + 'static>() {}
    is::<Version>();
    is::<Source>();
    is::<Why>();
    is::<Refusal>();
    is::<TooLarge>();
}

#[test]
fn an_error_is_an_error() {
    let error: Box<dyn std::error::Error + Send + Sync> = Error::NotSent.into();
    assert!(error.source().is_none());
    let text = error.to_string();
    assert!(text.starts_with(char::is_lowercase) && !text.ends_with('.'), "{text}");
}

#[test]
fn no_configuration_makes_it_panic() {
    let server = Server::start(&any_program(), &[]);
    let base = Config::default().with_connect_timeout(Duration::from_secs(60));
    let sizes = [0, 1, usize::MAX];
    let ages = [Duration::ZERO, Duration::MAX];
    let caches = sizes.iter().flat_map(|&size| ages.map(|age| CacheConfig::new(size, age)));
    let mut configs: Vec<Config> = caches.map(|cache| base.clone().with_cache(cache)).collect();
    configs.extend(sizes.map(|bytes| base.clone().with_socket_buffer_bytes(bytes)));
    configs.extend(sizes.map(|bytes| base.clone().with_mtu_bytes(bytes)));
    configs.extend(ages.map(|timeout| base.clone().with_timeout(timeout)));
    configs.extend(ages.map(|timeout| base.clone().with_connect_timeout(timeout)));
    for config in configs {
        match Connection::connect_with(&[server.address], &config) {
            Ok(mut connection) => {
                let _ = connection.put(b"key", b"value");
                let _ = connection.get(b"key");
                let _ = connection.get_many(&["key"; 3]);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        if let Ok(client) = Client::connect_with(&[server.address], &config) {
            let _ = client.put(b"key", b"value").wait();
            let _ = client.get(b"key").wait();
            let _ = client.get_many(&["key"; 3]).wait();
        }
    }
}

#[test]
fn a_list_of_servers_that_makes_no_sense_is_refused_at_once() {
    for servers in ["127.0.0.1:0", "127.0.0.1:1,127.0.0.1:1", "127.0.0.1:1,[::1]:1"] {
        let servers = client::resolve(servers).unwrap();
        let refused = Connection::connect(&servers).map(drop);
        assert!(matches!(refused, Err(Error::InvalidConfig(_))), "{refused:?}");
        assert_eq!(Client::connect(&servers).map(drop), refused);
    }
    assert!(matches!(Client::connect(&[]), Err(Error::InvalidConfig(_))));
}

#[test]
fn a_call_without_time_ends_without_an_answer() {
    let server = Server::start(&any_program(), &[]);
    let mut connection = Connection::connect(&[server.address]).unwrap();
    connection.set_timeout(Duration::ZERO);
    let client = Client::connect(&[server.address]).unwrap().with_timeout(Duration::ZERO);
    for result in [connection.put(b"key", b"value"), client.put(b"key", b"value").wait()] {
        let why = Why::Deadline;
        assert!(
            result == Err(Error::NotExecuted(why)) || result == Err(Error::Indeterminate(why)),
            "{result:?}"
        );
    }
}
