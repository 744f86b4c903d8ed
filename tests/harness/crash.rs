//! Runs that are killed, starved of disk, or betrayed by their system: nothing is left behind, and what was recorded can
//! be judged.

mod commands;
mod disk;
mod ends;
mod guardian;
mod kills;
mod leftovers;
mod panics;
mod programs;
mod spam;
mod victim;
