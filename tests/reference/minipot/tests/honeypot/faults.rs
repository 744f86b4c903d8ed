//! Each fault from outside: its own effect shows, and what it leaves alone still works.
