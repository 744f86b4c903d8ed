//! Each fault from outside: its own effect shows, and what it leaves alone still works.

mod ports;
mod processes;
mod resources;
mod routing;
mod streams;
