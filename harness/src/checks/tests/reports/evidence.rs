//! The welcome, what comes between two cases, and each hole in the evidence.

use super::*;

#[test]
fn the_welcome_comes_exactly_once() {
    let again = |story: &mut Story| story.message(2150, Message::Welcome { topic: "t".into() });
    after_all(again, &[(Aspect::Welcome, "2 came: 2 ms after the start and 2146 ms after the start")]);
    let welcome = |topic: Option<&'static str>, connected: bool| {
        move || {
            let mut story = Story::two_logins().without(|event| {
                matches!(event, Event::Message(Message::Welcome { .. }))
                    || (!connected && matches!(event, Event::Reports(ReportsChange::Connected)))
            });
            story.connects_come();
            story.logins_come();
            if let Some(topic) = topic {
                story.message(7, Message::Welcome { topic: topic.into() });
            }
            story
        }
    };
    only(welcome(None, true), &[(Aspect::Welcome, "none came")]);
    only(welcome(None, false), &[(Aspect::Welcome, "nobody ever connected to ipc:///x")]);
    only(welcome(Some("x"), true), &[(Aspect::Welcome, "`x` came 3 ms after the start")]);
    let late = || {
        let mut story = welcome(None, true)();
        story.message(2300, Message::Welcome { topic: "t".into() });
        story
    };
    only(late, &[(Aspect::Welcome, "a report came 290 ms before it")]);
}

#[test]
fn what_came_since_the_last_case_belongs_to_this_one() {
    let between = |story: &mut Story| {
        let other = CaseId { suite: "s/g".into(), number: "1.0".into() };
        story.at(900, Source::Runner, Event::CaseEnd { case: other, error: None });
        story.comes(1, 800, report("login", Some("in the other case")));
        story.comes(1, 950, report("login", Some("late of the other case")));
    };
    after_all(between, &[(Aspect::Extra, "late of the other case")]);
}

#[test]
fn missing_evidence_is_unknown() {
    let hole = |change: &dyn Fn(Story) -> Story, part: &str| {
        for aspect in [Aspect::Lost, Aspect::Extra, Aspect::Fields, Aspect::Order, Aspect::Welcome] {
            let mut story = Story::two_logins();
            story.connects_come();
            story.comes(1, 2105, report("login", Some("u1")));
            if aspect != Aspect::Lost {
                story.comes(2, 2205, report("login", Some("u2")));
            }
            story.settles(5000);
            says(&change(story).judge(&check(aspect)), "unknown", part);
        }
    };
    hole(
        &|story| story.without(|event| matches!(event, Event::Reports(ReportsChange::Settled { .. }))),
        "did not come to its end",
    );
    hole(
        &|story| story.without(|event| matches!(event, Event::Reports(ReportsChange::Bound { .. }))),
        "no reports observer",
    );
    let with = |change: ReportsChange| {
        move |mut story: Story| {
            story.at(5100, Source::Reports, Event::Reports(change.clone()));
            story
        }
    };
    hole(&with(ReportsChange::Died { reason: "r".into() }), "observer died: r");
    hole(&with(ReportsChange::Backlog { messages: 100_000, since: Timestamp(0) }), "its queue was full");
    let ended = |outcome: Option<HandlerEnd>| {
        move |story: Story| {
            let is_end =
                |event: &Event| matches!(event, Event::Handler(Handling { handler: 2, step: HandlerStep::End { .. } }));
            let mut story = story.without(is_end);
            if let Some(outcome) = outcome.clone() {
                story.handler(2, 5100, HandlerStep::End { outcome });
            }
            story
        }
    };
    hole(&ended(None), "the handler `h2` never ended");
    hole(&ended(Some(HandlerEnd::TimedOut { after_ms: 5 })), "`h2` did not end within 5 ms");
    let crashed = HandlerEnd::Crashed { status: "signal 11".into(), said: String::new() };
    hole(&ended(Some(crashed)), "`h2` crashed (signal 11)");
    let mut nothing = Story::with_handlers();
    nothing.settles(5000);
    says(&nothing.judge(&check(Aspect::Lost)), "unknown", "no handler expected any report");
}
