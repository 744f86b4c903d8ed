//! One port that opens and closes as often as it is told to, and stays so for a while that is never the same.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, bind, listen, socket};

/// Opens and closes the port until there were so many transitions.
pub(crate) fn flap(at: SocketAddr, transitions: u64) {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..transitions / 2 {
        let listener = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        // Connections of the listener before are not all gone yet.
        rustix::net::sockopt::set_socket_reuseaddr(&listener, true).unwrap();
        bind(&listener, &at).unwrap();
        listen(&listener, 4096).unwrap();
        stay(&mut random);
        drop(listener);
        stay(&mut random);
    }
}

/// For up to 0.3 ms mostly, so that connects meet edges, and at times for so long that many connects fit in.
fn stay(random: &mut u64) {
    // xorshift64 (Marsaglia, 2003).
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    let (short, micros) = (!random.is_multiple_of(8), *random / 8);
    let micros = if short { micros % 300 } else { 12_500 + micros % 500 };
    let until = Instant::now() + Duration::from_micros(micros);
    while Instant::now() < until {
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
    }
}
