//! Values reserved for documentation and tests: they look like personal data and belong to nobody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Entity, Value};

/// Says whether a normalised value can belong to somebody.
pub(super) fn judge(entity: Entity, normal: &str) -> Value {
    let test = match entity {
        Entity::EmailAddress => normal.rsplit('@').next().is_some_and(is_example_host),
        Entity::Url => url_host(normal).is_some_and(is_example_host),
        Entity::PhoneNumber => is_fictional_phone(normal),
        Entity::CreditCard => TEST_CARDS.contains(&normal),
        Entity::UsSsn => matches!(normal, "078051120" | "219099999" | "123456789"),
        Entity::IpAddress => normal.parse().is_ok_and(is_example_address),
        Entity::MacAddress => normal.bytes().all(|b| Some(b) == normal.bytes().next()) || normal.starts_with("00005e0053"),
        _ => false,
    };
    if test { Value::Test } else { Value::Real }
}

/// Numbers that payment providers publish for tests.
const TEST_CARDS: [&str; 10] = [
    "4111111111111111",
    "4242424242424242",
    "4012888888881881",
    "5555555555554444",
    "5105105105105100",
    "378282246310005",
    "371449635398431",
    "6011111111111117",
    "3530111333300000",
    "2223003122003222",
];

/// Names of RFC 2606 and RFC 6761.
fn is_example_host(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    let under = |name: &str| host == name || host.strip_suffix(name).is_some_and(|head| head.ends_with('.'));
    ["example.com", "example.org", "example.net", "example", "test", "invalid", "localhost"].into_iter().any(under)
}

fn url_host(url: &str) -> Option<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next()?;
    authority.rsplit('@').next()?.split(':').next()
}

/// 555-0100 to 555-0199, and the ranges that Ofcom keeps for drama.
fn is_fictional_phone(normal: &str) -> bool {
    let digits = normal.trim_start_matches('+');
    let tail = |length: usize| digits.len().checked_sub(length).and_then(|at| digits.get(at..));
    tail(7).is_some_and(|local| local.starts_with("55501"))
        || ["07700900", "447700900", "02079460", "442079460", "01632960", "441632960"]
            .iter()
            .any(|range| digits.starts_with(range))
}

/// Documentation ranges of RFC 5737 and RFC 3849, and addresses that name no host.
fn is_example_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            matches!((a, b, c), (192, 0, 2) | (198, 51, 100) | (203, 0, 113))
                || v4.is_loopback()
                || v4.is_unspecified()
                || v4 == Ipv4Addr::BROADCAST
        }
        IpAddr::V6(v6) => v6.segments().starts_with(&[0x2001, 0xdb8]) || v6.is_loopback() || v6 == Ipv6Addr::UNSPECIFIED,
    }
}
