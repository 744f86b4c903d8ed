//! Two FTP sessions side by side, whose logins take turns.

use portwitness::handlers::{Failure, Handler, Session};

/// The scenario.
pub(crate) struct TwoSessions;

impl Handler for TwoSessions {
    fn run(&self, session: &mut Session) -> Result<(), Failure> {
        let mut both = [session.connect()?, session.connect()?];
        for connection in &mut both {
            connection.expect(b"220 (vsFTPd 3.0.3)\r\n")?;
        }
        for turn in 0..4 {
            let user = format!("{}-{turn}", session.marker());
            let connection = &mut both[turn % 2];
            connection.send(format!("USER {user}\r\n").as_bytes())?;
            connection.expect(b"331 Please specify the password.\r\n")?;
            connection.send(b"PASS secret\r\n")?;
            let data = vec![("username".into(), user), ("password".into(), "secret".into())];
            connection.expects("login", Some(data));
            connection.expect(b"530 Login incorrect.\r\n")?;
        }
        Ok(())
    }
}
