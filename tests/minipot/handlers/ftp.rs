//! FTP: a random conversation that ends wherever the seed leads, at QUIT and at the limit too.

use fastrand::Rng;
use portwitness::handlers::{Failure, Handler, Session};

use super::exchange::{Exchange, carry_out, field, login, text};

/// Attempts that a connection gets.
const ATTEMPTS: u32 = 100;
const GREETING: &[u8] = b"220 (vsFTPd 3.0.3)\r\n";
const FEATURES: &str =
    "211-Features:\r\n EPRT\r\n EPSV\r\n MDTM\r\n PASV\r\n REST STREAM\r\n SIZE\r\n TVFS\r\n211 End\r\n";

/// Carries out a random conversation.
pub(super) struct Conversation;

impl Handler for Conversation {
    fn run(&self, session: &mut Session) -> Result<(), Failure> {
        let mut random = Rng::with_seed(session.scenario().seed);
        let commands = commands(&mut random, session.marker());
        let lines: Vec<Vec<u8>> = commands.iter().map(|command| written(&mut random, command)).collect();
        carry_out(session, &mut random, GREETING, &predict(&commands, lines))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Command {
    User(Vec<u8>),
    Pass(Vec<u8>),
    Feat,
    Opts(Vec<u8>),
    Quit,
    /// Anything else, parameter and all.
    Other(Vec<u8>),
    Empty,
}

/// Up to forty commands or pairs of them, or as many attempts as it takes to come near the limit, and beyond.
fn commands(random: &mut Rng, marker: &str) -> Vec<Command> {
    let brute_force = random.u8(..4) == 0;
    let count = if brute_force { random.usize(190..240) } else { random.usize(1..40) };
    (0..count)
        .flat_map(|_| match random.u8(..if brute_force { 40 } else { 12 }) {
            0 => vec![Command::Feat],
            1 => vec![Command::Opts(option(random))],
            2 => vec![Command::Other(other(random))],
            3 => vec![Command::Empty],
            4 => vec![Command::User(field(random, marker, false))],
            5 => vec![Command::Pass(field(random, marker, false))],
            6 if random.u8(..8) == 0 => vec![Command::Quit],
            _ => vec![Command::User(field(random, marker, false)), Command::Pass(field(random, marker, false))],
        })
        .collect()
}

fn option(random: &mut Rng) -> Vec<u8> {
    match random.u8(..4) {
        0 => field(random, "mlst", false),
        1 => b"utf8 on or off".to_vec(),
        _ => {
            let length = random.usize(..=7);
            in_any_case(random, &"utf8 on"[..length])
        }
    }
}

fn other(random: &mut Rng) -> Vec<u8> {
    const KNOWN: [&[u8]; 10] =
        [b"SYST", b"LIST", b"TYPE I", b"USERS x", b"PAS x", b" USER x", b"PASS\tx", b"\r", b"QUITE", b"\xff\xfe x"];
    KNOWN[random.usize(..KNOWN.len())].to_vec()
}

fn in_any_case(random: &mut Rng, word: &str) -> Vec<u8> {
    word.bytes()
        .map(|letter| if random.bool() { letter.to_ascii_lowercase() } else { letter.to_ascii_uppercase() })
        .collect()
}

/// A command as it is sent: in any case, with or without a space before a parameter that is empty, and with either line end.
fn written(random: &mut Rng, command: &Command) -> Vec<u8> {
    let (word, parameter) = match command {
        Command::User(user) => ("USER", Some(user)),
        Command::Pass(password) => ("PASS", Some(password)),
        Command::Opts(option) => ("OPTS", Some(option)),
        Command::Feat => ("FEAT", None),
        Command::Quit => ("QUIT", None),
        Command::Other(line) => return [line.as_slice(), b"\r\n"].concat(),
        Command::Empty => ("", None),
    };
    let mut line = in_any_case(random, word);
    if let Some(parameter) = parameter.filter(|parameter| !parameter.is_empty() || random.bool()) {
        line.push(b' ');
        line.extend_from_slice(parameter);
    }
    line.extend_from_slice(if random.bool() { b"\r\n" } else { b"\n" });
    line
}

/// What must come of each command, which is sent as the line with the same index.
fn predict(commands: &[Command], lines: Vec<Vec<u8>>) -> Vec<Exchange> {
    let mut given: Option<Vec<u8>> = None;
    let mut attempts = 0;
    let answer = |(command, input): (&Command, Vec<u8>)| {
        let reply = match command {
            Command::User(user) => {
                if !user.is_empty() {
                    given = Some(user.clone());
                }
                "331 Please specify the password.\r\n"
            }
            Command::Pass(password) => {
                let Some(user) = given.take() else {
                    let report = Some(("invalid", None));
                    return Exchange { input, reply: b"503 Login with USER first.\r\n".into(), report, closes: false };
                };
                attempts += 1;
                let report = Some(login(text(&user), text(password)));
                let closes = attempts == ATTEMPTS;
                return Exchange { input, reply: b"530 Login incorrect.\r\n".into(), report, closes };
            }
            Command::Feat => FEATURES,
            Command::Opts(option) => {
                let known = b"utf8 on".get(..option.len()).is_some_and(|known| known.eq_ignore_ascii_case(option));
                let known = known && !option.is_empty();
                if known { "200 Always in UTF8 mode.\r\n" } else { "501 Option not understood.\r\n" }
            }
            Command::Quit => "221 Goodbye.\r\n",
            Command::Other(_) => "530 Please login with USER and PASS.\r\n",
            Command::Empty => "",
        };
        Exchange { input, reply: reply.into(), report: None, closes: *command == Command::Quit }
    };
    commands.iter().zip(lines).map(answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predicted(commands: &[Command]) -> Vec<(String, Option<&'static str>, bool)> {
        let lines = vec![Vec::new(); commands.len()];
        let short = |exchange: Exchange| {
            let reply = String::from_utf8_lossy(&exchange.reply[..exchange.reply.len().min(3)]).into_owned();
            (reply, exchange.report.map(|(action, _)| action), exchange.closes)
        };
        predict(commands, lines).into_iter().map(short).collect()
    }

    #[test]
    fn pass_clears_the_user_and_an_empty_user_keeps_it() {
        let [me, none] = [Command::User(b"me".into()), Command::User(Vec::new())];
        let pass = Command::Pass(b"x".into());
        assert_eq!(
            predicted(&[
                pass.clone(),
                me,
                none,
                pass.clone(),
                pass,
                Command::User(b"\xff".into()),
                Command::Pass(vec![])
            ]),
            [
                ("503".into(), Some("invalid"), false),
                ("331".into(), None, false),
                ("331".into(), None, false),
                ("530".into(), Some("login"), false),
                ("503".into(), Some("invalid"), false),
                ("331".into(), None, false),
                ("530".into(), Some("invalid"), false),
            ]
        );
    }

    #[test]
    fn the_hundredth_attempt_closes_and_503s_do_not_count() {
        let pair = [Command::User(b"me".into()), Command::Pass(b"x".into()), Command::Pass(b"x".into())];
        let predicted = predicted(&std::iter::repeat_n(pair, 101).flatten().collect::<Vec<_>>());
        assert_eq!(predicted.iter().position(|(.., closes)| *closes), Some(99 * 3 + 1));
    }

    #[test]
    fn a_seed_makes_the_same_conversation_again() {
        for seed in 0..50 {
            let [first, second] = [(); 2].map(|()| commands(&mut Rng::with_seed(seed), "m"));
            assert_eq!(first, second);
        }
        let all: Vec<Command> = (0..50).flat_map(|seed| commands(&mut Rng::with_seed(seed), "m")).collect();
        for wanted in [Command::Feat, Command::Quit, Command::Empty] {
            assert!(all.contains(&wanted), "{wanted:?}");
        }
    }
}
