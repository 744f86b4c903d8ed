//! Lies about sinsp events: a line of the real program goes in, what is to be read comes out.

mod fault;
mod flat;
mod line;

pub use fault::Fault;
use line::Line;

/// Tells lines on, and lies about some of them.
#[derive(Debug)]
pub struct Liar {
    fault: Option<Fault>,
    turn: Turn,
    /// A line that waits for the next one.
    held: Option<Line>,
    /// Nothing is told any more.
    silent: bool,
    /// Events that are said to be lost, by now.
    drops: i64,
}

/// Whether it is time for a lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Nothing of the traffic program has come.
    Waits,
    /// The traffic program states what it does, and nothing of that was lied about yet.
    Lies,
    /// Until the traffic program begins anew.
    Over,
}

/// What is to be done after a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Then {
    /// To read the next.
    Go,
    /// To end at once, without a word.
    Die,
}

/// The descriptors with whose close a traffic program begins and ends (`portwitness::history::BEGINS`).
const BEGINS: i64 = 0x5058_0000;
const ENDS: i64 = 0x5058_0001;

/// A clock that is wrong by this much.
const SKEW_NS: i64 = 50_000_000;

impl Liar {
    /// Lies in one way, or not at all.
    pub fn new(fault: Option<Fault>) -> Self {
        Self { fault, turn: Turn::Waits, held: None, silent: false, drops: 0 }
    }

    /// What is told of a line.
    pub fn tell(&mut self, text: &str) -> (Vec<String>, Then) {
        if self.silent {
            return (Vec::new(), Then::Go);
        }
        let mut line = Line::read(text);
        let told = match self.fault {
            Some(fault) if line.is_event() => self.event(fault, line),
            Some(fault) => {
                match fault {
                    Fault::CountedDrops if line.is("fence") => {
                        self.drops += 5;
                        line.add("drops", self.drops);
                    }
                    Fault::UnknownForm if line.is("start") => line.add("form", 1),
                    Fault::UnknownApi if line.is("start") => line.set_text("api", "99.0.0"),
                    _ => {}
                }
                // Nothing waits beyond a fence: what came before it comes before it.
                self.held.take().into_iter().chain([line]).map(Line::written).collect()
            }
            None => vec![line.written()],
        };
        let dies = self.fault == Some(Fault::SilentDeath) && told.iter().any(|told| told == DEATH);
        (told.into_iter().filter(|told| told != DEATH).collect(), if dies { Then::Die } else { Then::Go })
    }

    fn event(&mut self, fault: Fault, mut line: Line) -> Vec<String> {
        if fault == Fault::SkewedClock {
            line.add("ts", SKEW_NS);
            return vec![line.written()];
        }
        match line.descriptor() {
            Some(BEGINS) => {
                self.turn = Turn::Lies;
                return self.release(line);
            }
            Some(ENDS) => self.turn = Turn::Over,
            // A filter leaves out how it begins.
            _ if self.turn == Turn::Waits && line.is_of_traffic() => self.turn = Turn::Lies,
            _ => {}
        }
        if self.turn != Turn::Lies || line.closes_bracket() {
            return self.release(line);
        }
        if let Some(first) = self.held.take() {
            return self.with_first(fault, first, line);
        }
        if !fault.suits(&line) {
            return vec![line.written()];
        }
        if fault.waits() {
            self.held = Some(line);
            return Vec::new();
        }
        self.turn = Turn::Over;
        match fault {
            Fault::Missing => Vec::new(),
            Fault::Doubled => vec![line.clone().written(), line.written()],
            Fault::Garbage => vec![line.written(), "\u{1b}[31mcore dumped".into()],
            Fault::CutLine => {
                let text = line.written();
                vec![text[..text.len() / 2].into()]
            }
            Fault::SilentDeath => vec![line.written(), DEATH.into()],
            Fault::FallsSilent => {
                self.silent = true;
                vec![line.written()]
            }
            _ => {
                fault.apply(&mut line);
                vec![line.written()]
            }
        }
    }

    /// A line that waited, and the next one.
    fn with_first(&mut self, fault: Fault, first: Line, second: Line) -> Vec<String> {
        match (fault, first.number("num"), second.number("num")) {
            (Fault::Reordered, ..) => {
                self.turn = Turn::Over;
                vec![second.written(), first.written()]
            }
            (Fault::Invented, Some(before), Some(after)) if after > before + 1 => {
                self.turn = Turn::Over;
                let mut invented = first.clone();
                invented.add("num", 1);
                invented.add_field("evt.num", 1);
                vec![first.written(), invented.written(), second.written()]
            }
            // There is no room for a number between the two.
            _ => {
                self.held = fault.suits(&second).then_some(second.clone());
                let mut told = vec![first.written()];
                told.extend(self.held.is_none().then(|| second.written()));
                told
            }
        }
    }

    fn release(&mut self, line: Line) -> Vec<String> {
        self.held.take().into_iter().chain([line]).map(Line::written).collect()
    }
}

const DEATH: &str = "\0";
