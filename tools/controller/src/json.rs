//! Keys and values in JSON: as text if they are UTF-8, else in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// Adds bytes to an object, as `name` or as `name_base64`.
pub(crate) fn add_bytes(object: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match str::from_utf8(bytes) {
        Ok(text) => object.insert(name.to_owned(), json!(text)),
        Err(_) => object.insert(format!("{name}_base64"), json!(STANDARD.encode(bytes))),
    };
}

/// The bytes that [`add_bytes`] added.
pub(crate) fn bytes(
    name: &str,
    text: Option<String>,
    base64: Option<String>,
) -> Result<Vec<u8>, String> {
    match (text, base64) {
        (Some(text), None) => Ok(text.into_bytes()),
        (None, Some(base64)) => {
            STANDARD.decode(base64).map_err(|error| format!("{name}_base64: {error}"))
        }
        (None, None) => Err(format!("there is no {name} (or {name}_base64)")),
        (Some(_), Some(_)) => Err(format!("there are both {name} and {name}_base64")),
    }
}

/// An object that begins with a key.
pub(crate) fn of_key(key: &[u8]) -> Map<String, Value> {
    let mut object = Map::new();
    add_bytes(&mut object, "key", key);
    object
}
