//! Telnet: random attempts with commands anywhere between their bytes, to the limit or to an error that ends them.

use fastrand::Rng;
use portwitness::handlers::{Failure, Handler, Session};

use super::exchange::{Exchange, carry_out, field, login, text};

/// Attempts that a connection gets.
const ATTEMPTS: u32 = 20;
/// Bytes of a line that are kept.
const KEPT: usize = 1024;

const IAC: u8 = 255;
const USER_PROMPT: &[u8] = b"Username: \xff\xf9";
const PASSWORD_PROMPT: &[u8] = b"Password: \xff\xf9";
const INCORRECT: &[u8] = b"Login incorrect\r\n\xff\xf9";
const ERROR: &[u8] = b"Protocol error\r\n\xff\xf9";

/// Carries out random attempts.
pub(super) struct Conversation;

impl Handler for Conversation {
    fn run(&self, session: &mut Session) -> Result<(), Failure> {
        let mut random = Rng::with_seed(session.scenario().seed);
        let items = items(&mut random, session.marker());
        carry_out(session, &mut random, USER_PROMPT, &predict(&items))
    }
}

/// What can be sent at any place of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    /// Neither CR nor IAC.
    Data(Vec<u8>),
    /// CR LF.
    End,
    /// A byte other than LF after CR.
    Dropped(u8),
    Do(u8),
    Will(u8),
    /// DONT or WONT, and an option.
    Off(u8, u8),
    /// NOP, DM, BRK, IP, AO, AYT, GA.
    Ignored(u8),
    EraseByte,
    EraseLine,
    /// A subnegotiation of these bytes, in which IAC is doubled.
    Parameters(Vec<u8>),
    /// IAC or SE after IAC.
    Wrong(u8),
    /// A byte below 240 after IAC.
    Unknown(u8),
}

/// Up to 25 attempts, of which the limit leaves 20.
fn items(random: &mut Rng, marker: &str) -> Vec<Item> {
    let lines = random.usize(1..=50);
    let mut items = Vec::new();
    for _ in 0..lines {
        let line = match random.u8(..12) {
            0 => vec![b'l'; random.usize(KEPT - 2..KEPT + 3)],
            _ => field(random, marker, true),
        };
        let mut rest = line.as_slice();
        while !rest.is_empty() {
            let (part, after) = rest.split_at(if random.bool() { rest.len() } else { random.usize(1..=rest.len()) });
            items.push(Item::Data(part.to_vec()));
            items.extend((random.u8(..3) == 0).then(|| extra(random)));
            rest = after;
        }
        items.extend((random.u8(..6) == 0).then(|| extra(random)));
        items.push(Item::End);
    }
    items
}

fn extra(random: &mut Rng) -> Item {
    let any = random.u8(..);
    match random.u8(..21) {
        0..3 => Item::Do(any),
        3..6 => Item::Will(any),
        6 => Item::Off(252, any),
        7 => Item::Off(254, any),
        8..11 => Item::Ignored([241, 242, 243, 244, 245, 246, 249][random.usize(..7)]),
        11..13 => Item::EraseByte,
        13 => Item::EraseLine,
        14..16 => Item::Parameters((0..random.usize(..12)).map(|_| random.u8(..)).collect()),
        16..18 => Item::Dropped(if any == b'\n' { 0 } else { any }),
        18..20 => Item::Data(b"\n".into()),
        _ if random.u8(..4) > 0 => Item::Data(b"\t".into()),
        _ if random.bool() => Item::Wrong([240, IAC][usize::from(random.bool())]),
        _ => Item::Unknown(any % 240),
    }
}

/// What must come of each item.
fn predict(items: &[Item]) -> Vec<Exchange> {
    let mut line = Vec::new();
    let mut user: Option<Vec<u8>> = None;
    let mut attempts = 0;
    let answer = |item: &Item| {
        let says =
            |input: &[u8], reply: &[u8]| Exchange { input: input.into(), reply: reply.into(), ..Exchange::default() };
        match item {
            Item::Data(bytes) => {
                line.extend_from_slice(bytes);
                line.truncate(KEPT);
                says(bytes, b"")
            }
            Item::End => {
                let ended = std::mem::take(&mut line);
                let Some(name) = user.take() else {
                    user = Some(ended);
                    return says(b"\r\n", PASSWORD_PROMPT);
                };
                attempts += 1;
                let closes = attempts == ATTEMPTS;
                let prompt = if closes { b"" } else { USER_PROMPT };
                let name = text(&name).filter(|name| !name.is_empty());
                let report = Some(login(name, text(&ended)));
                Exchange { report, closes, ..says(b"\r\n", &[INCORRECT, prompt].concat()) }
            }
            Item::Dropped(byte) => says(&[b'\r', *byte], b""),
            Item::Do(option) => says(&[IAC, 253, *option], &[IAC, 252, *option]),
            Item::Will(option) => says(&[IAC, 251, *option], &[IAC, 254, *option]),
            Item::Off(verb, option) => says(&[IAC, *verb, *option], b""),
            Item::Ignored(command) => says(&[IAC, *command], b""),
            Item::EraseByte => {
                line.pop();
                says(&[IAC, 247], b"")
            }
            Item::EraseLine => {
                line.clear();
                says(&[IAC, 248], b"")
            }
            Item::Parameters(bytes) => {
                let doubled =
                    bytes.iter().flat_map(|byte| std::iter::repeat_n(*byte, if *byte == IAC { 2 } else { 1 }));
                says(&[IAC, 250].into_iter().chain(doubled).chain([IAC, 240]).collect::<Vec<u8>>(), b"")
            }
            Item::Wrong(command) => Exchange { closes: true, ..says(&[IAC, *command], ERROR) },
            Item::Unknown(byte) => Exchange { closes: true, ..says(&[IAC, *byte], b"") },
        }
    };
    items.iter().map(answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports(items: &[Item]) -> Vec<String> {
        let told = predict(items).into_iter().filter_map(|exchange| exchange.report);
        told.map(|(action, data)| {
            let values = data.unwrap_or_default().into_iter().map(|(_, value)| format!(" {value}"));
            format!("{action}{}", values.collect::<String>())
        })
        .collect()
    }

    #[test]
    fn erasing_and_dropping_change_the_line() {
        let data = |text: &str| Item::Data(text.into());
        let user = [data("ab"), Item::EraseByte, data("c"), Item::Dropped(b'x'), Item::Do(1), Item::End];
        let password =
            [data("wrong"), Item::EraseLine, Item::EraseByte, data("\n"), Item::Parameters(vec![13, 10]), Item::End];
        assert_eq!(reports(&[&user[..], &password].concat()), ["login ac \n"]);
        assert_eq!(reports(&[&[Item::End], &password[..]].concat()), ["invalid"]);
        assert_eq!(reports(&[&user[..], &[data("x"), Item::EraseLine, Item::End]].concat()), ["login ac "]);
    }

    #[test]
    fn the_twentieth_attempt_closes() {
        let exchanges = predict(&vec![Item::End; 50]);
        assert_eq!(exchanges.iter().position(|exchange| exchange.closes), Some(39));
        assert_eq!(exchanges[39].reply, INCORRECT);
    }

    #[test]
    fn a_seed_makes_the_same_conversation_again() {
        for seed in 0..50 {
            let [first, second] = [(); 2].map(|()| items(&mut Rng::with_seed(seed), "m"));
            assert_eq!(first, second);
        }
        let all: Vec<Item> = (0..300).flat_map(|seed| items(&mut Rng::with_seed(seed), "m")).collect();
        assert!(all.iter().any(|item| matches!(item, Item::Wrong(_))));
        assert!(all.iter().any(|item| matches!(item, Item::Unknown(_))));
    }
}
