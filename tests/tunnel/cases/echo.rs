//! Group 1, basic echo: connectivity through each tunnel, for both clients.

use std::sync::Arc;
use std::time::Duration;

use portwitness::case::{Case, Context, step};
use portwitness::checks::Check;
use portwitness::clients::echo::{Exchange, echo};
use portwitness::clients::payload::Payload;

use super::{Draft, event};
use crate::tunnel::checks;
use crate::tunnel::config::{Client, Entry, Tun};
use crate::tunnel::system::Tunnel;

/// A literal that is sent into an entry.
type Word = (&'static str, Entry);

pub(crate) fn cases(tunnel: &Arc<Tunnel>) -> Vec<Case> {
    let mut cases = of_client(tunnel, Client::One, 1);
    cases.push(event::case(tunnel, "1.5", "1. Basic Echo, Test 1.5", Client::Two));
    cases.extend(of_client(tunnel, Client::Two, 6));
    cases
}

fn of_client(tunnel: &Arc<Tunnel>, client: Client, first: usize) -> Vec<Case> {
    let server = Entry::Server(Tun::One);
    let own = Entry::Client(client, Tun::One);
    let second = Entry::Server(Tun::Two);
    let name = client.name();
    [
        (format!("server-to-client tun1 echo ({name})"), vec![("HELLO", server)], false),
        (format!("client-to-server tun1 echo ({name})"), vec![("WORLD", own)], false),
        (format!("both directions of tun1, in turn ({name})"), vec![("SERVER", server), ("CLIENT", own)], false),
        (format!("both server tunnels at once ({name})"), vec![("TUN1", server), ("TUN2", second)], true),
    ]
    .into_iter()
    .enumerate()
    .map(|(index, (title, words, at_once))| {
        let number = format!("1.{}", first + index);
        let own = tunnel.clone();
        let sent = words.clone();
        let workload = step(move |context| {
            let (tunnel, words) = (own.clone(), sent.clone());
            async move {
                match at_once {
                    true => all_at_once(&tunnel, &context, &words).await,
                    false => in_turn(&tunnel, &context, &words).await,
                }
                Ok(())
            }
        });
        Draft {
            spec: format!("1. Basic Echo, Test {number}"),
            number,
            title,
            active: client,
            budget: Duration::from_secs(30),
            checks: judged_by(tunnel, client, &words),
            workload,
        }
        .case(tunnel)
    })
    .collect()
}

fn judged_by(tunnel: &Tunnel, client: Client, words: &[Word]) -> Vec<Check> {
    let mut judged = checks::nothing_moves(&tunnel.ports);
    for (word, entry) in words {
        judged.push(checks::all_right(word, 1));
        judged.push(checks::reaches(word, tunnel.ports.backend(*entry, client)));
        judged.push(checks::stays_connected(word));
    }
    judged.extend(checks::leaves_nothing(tunnel));
    judged
}

/// Connect, send, compare, close: one after the other. The word names the group of its operation.
async fn in_turn(tunnel: &Tunnel, context: &Context, words: &[Word]) {
    for (word, entry) in words {
        echo(&tunnel.client(context, word, *entry), Payload::literal(word.as_bytes())).await;
    }
}

/// Open all, send to all, receive from all, close all.
async fn all_at_once(tunnel: &Tunnel, context: &Context, words: &[Word]) {
    let mut open = Vec::new();
    for (word, entry) in words {
        open.push(Exchange::connect(&tunnel.client(context, word, *entry), Payload::literal(word.as_bytes())).await);
    }
    for exchange in &mut open {
        exchange.send().await;
    }
    for exchange in &mut open {
        exchange.receive_echo().await;
    }
    for exchange in open {
        exchange.close().await;
    }
}
