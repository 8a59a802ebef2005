//! Where no server answers, connecting ends in time and says so.
#![forbid(unsafe_code)]

use std::time::Duration;

use client::{Client, Config, Connection, Error};
use testkit::server::free_port;

#[test]
fn connecting_ends_where_no_server_answers() {
    let nobody = [([127, 0, 0, 1], free_port()).into()];
    let config = Config::default().with_connect_timeout(Duration::from_millis(50));
    let errors = [
        Connection::connect_with(&nobody, &config).map(|_| ()).unwrap_err(),
        Client::connect_with(&nobody, &config).map(|_| ()).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, Error::NoServer { server, .. } if server == nobody[0]), "{error}");
    }
}
