//! FTP logins with passwords as long as a line may be, until the system is gone.

use std::time::Duration;

use portwitness::handlers::{Connection, Failure, Handler, Session};

/// The scenario. It expects no report of what it does: nobody reads them.
pub(crate) struct Flood;

/// Connections one after another, with as many attempts as each has.
const CONNECTIONS: u32 = 6;
const ATTEMPTS: u32 = 100;
const WAIT: Duration = Duration::from_secs(5);

impl Handler for Flood {
    fn run(&self, session: &mut Session) -> Result<(), Failure> {
        for _ in 0..CONNECTIONS {
            let Ok(mut connection) = session.try_connect(WAIT)? else { return Ok(()) };
            if !attempts(&mut connection, session.marker())? {
                break;
            }
        }
        Ok(())
    }
}

/// Whether the system answered to all of them.
fn attempts(connection: &mut Connection, marker: &str) -> Result<bool, Failure> {
    if !answers(connection, b"220 (vsFTPd 3.0.3)")? {
        return Ok(false);
    }
    let password = format!("PASS {}\r\n", "x".repeat(4000));
    for _ in 0..ATTEMPTS {
        for (said, reply) in [
            (format!("USER {marker}\r\n"), &b"331 Please specify the password."[..]),
            (password.clone(), &b"530 Login incorrect."[..]),
        ] {
            if !connection.send_until_closed(&[said.as_bytes()], Duration::ZERO) || !answers(connection, reply)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Whether this reply comes; false where the system closes instead.
fn answers(connection: &mut Connection, reply: &[u8]) -> Result<bool, Failure> {
    match connection.line() {
        Ok(line) if line == reply => Ok(true),
        Ok(other) => Err(Failure::Wrong {
            place: "a flood of logins".into(),
            expected: format!("the line \"{}\"", String::from_utf8_lossy(reply)),
            seen: format!("\"{}\" came", String::from_utf8_lossy(&other)),
        }),
        // Whatever else it is, the connection is not closed then.
        Err(_) => connection.expect_close().map(|_| false),
    }
}
